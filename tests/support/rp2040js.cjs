// Counts cycles and instructions of flash images in rp2040js, a third-party emulator (MIT, npm package `rp2040js`).
//
//   HIL_RP2040JS=FOLDER node rp2040js.cjs JOBS.json
//
// JOBS.json: {ram, ram_bytes, programs: [{flash, stop, most}]}; ram and flash are files. Each program starts from its
// vector table at 0x10000100 with that content of RAM, without boot ROM and second stage, and runs up to the address
// `stop`. Prints a JSON list: {instructions, cycles, ram, classes}. `ram` is the SHA-256 of the first `ram_bytes` of RAM.
// `classes` says how often those kinds of instructions came by that the virtual RP2040 counts in another way; `cycles` are
// as rp2040js counts them.
'use strict';
const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { RP2040 } = require(path.resolve(process.env.HIL_RP2040JS));

const FLASH = 0x10000000;
const refuse = (who, what) => {
  throw new Error(`${who}: ${what}`);
};

function count(job, ram, ramBytes) {
  const chip = new RP2040();
  chip.logger = { debug() {}, info() {}, warn: refuse, error: refuse };
  chip.flash.set(fs.readFileSync(job.flash));
  chip.sram.set(ram);
  const core = chip.core;
  core.VTOR = FLASH + 0x100;
  core.reset();
  const classes = { push_lr: 0, pop_pc: 0, branch_next: 0, exception_entry: 0, exception_return: 0 };
  let cycles = 0;
  let instructions = 0;
  while (core.PC !== job.stop) {
    if (instructions === job.most) throw new Error(`not at ${job.stop.toString(16)} after ${instructions} instructions`);
    if (core.interruptsUpdated && core.checkForInterrupts()) {
      core.PC &= ~1;
      classes.exception_entry++;
    }
    const at = core.PC;
    const word = chip.readUint16(at);
    const exception = core.IPSR;
    const cost = core.executeInstruction();
    if (exception !== 0 && core.IPSR === 0) classes.exception_return++;
    if (word >> 8 === 0xb5) classes.push_lr++;
    if (word >> 8 === 0xbd) classes.pop_pc++;
    const conditional = word >> 12 === 0xd && (word & 0xf00) < 0xe00;
    if (conditional && (word & 0xff) === 0xff && cost === 2) classes.branch_next++;
    cycles += cost;
    instructions++;
  }
  const left = crypto.createHash('sha256').update(chip.sram.subarray(0, ramBytes)).digest('hex');
  return { instructions, cycles, ram: left, classes };
}

const jobs = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const ram = fs.readFileSync(jobs.ram);
process.stdout.write(JSON.stringify(jobs.programs.map((job) => count(job, ram, jobs.ram_bytes))));
