// usage: gtm_mutants.js RUNNER TEMPLATE < MUTATIONS.json
// Prints, for each {"from", "to"} made in the template's code, the name of the first scenario that fails, or null.
'use strict';
const fs = require('fs');
const { load, test } = require(process.argv[2]);

async function main() {
  const text = fs.readFileSync(process.argv[3], 'utf8');
  const caught = [];
  for (const { from, to } of JSON.parse(fs.readFileSync(0, 'utf8'))) {
    const template = load(text);
    if (template.code.split(from).length !== 2) throw Error('stands not exactly once in the code: ' + from);
    template.code = template.code.replace(from, () => to);
    caught.push(await firstFailure(template));
  }
  console.log(JSON.stringify(caught));
}

async function firstFailure(template) {
  const { setup, scenarios } = template.tests;
  for (const scenario of scenarios) {
    const [result] = await test({ ...template, tests: { setup, scenarios: [scenario] } }, true);
    if (!result.ok) return scenario.name;
  }
  return null;
}
main().catch((error) => {
  console.error(error.message);
  process.exitCode = 2;
});
