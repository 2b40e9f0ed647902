// Clients by pg without pg-pool: each is connected for one unit of work. The arguments are names of cases, --list tells them;
// tests/clients/programs.py builds this program and sets its environment.
"use strict";

const cases = { ...require("./queries"), ...require("./sessions") };

async function main(wanted) {
  if (wanted.includes("--list")) {
    console.log(Object.keys(cases).join("\n"));
    return;
  }
  for (const name of wanted) {
    try {
      await cases[name]();
      console.log(`ok ${name}`);
    } catch (why) {
      console.log(`FAILED ${name}: ${why.stack}`);
      process.exitCode = 1;
    }
  }
}

main(process.argv.slice(2));
