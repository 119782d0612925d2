"use strict";
// Asks for the page again and again, and takes its content over. What comes is parsed, never run: the policy of the
// page allows no script but this one.
(() => {
  const every = 3000;
  const state = document.getElementById("state");
  const held = () => {
    const at = document.activeElement;
    const main = document.getElementById("main");
    return main.contains(at) && at !== main ? [...main.querySelectorAll("a, [tabindex]")].indexOf(at) : -1;
  };
  const look = async () => {
    try {
      const answer = await fetch("/", { cache: "no-store", signal: AbortSignal.timeout(2 * every) });
      if (!answer.ok) throw new Error(String(answer.status));
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const focus = held();
      document.getElementById("main").replaceWith(document.adoptNode(fresh.getElementById("main")));
      if (focus >= 0) [...document.getElementById("main").querySelectorAll("a, [tabindex]")][focus]?.focus({ preventScroll: true });
      const now = fresh.getElementById("state").textContent;
      state.textContent = now;
      document.body.classList.remove("stale");
    } catch {
      if (!document.body.classList.contains("stale")) state.textContent = `no answer since then, ${state.textContent}`;
      document.body.classList.add("stale");
    }
    setTimeout(look, every);
  };
  setTimeout(look, every);
})();
