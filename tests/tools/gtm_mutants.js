// usage: gtm_mutants.js RUNNER TEMPLATE < MUTATIONS.json
// Prints, for each {"from", "to", "by"} made in the template's code, whether the scenario *by* fails.
'use strict';
const fs = require('fs');
const { load, test } = require(process.argv[2]);

async function main() {
  const template = load(fs.readFileSync(process.argv[3], 'utf8'));
  const caught = [];
  for (const { from, to, by } of JSON.parse(fs.readFileSync(0, 'utf8'))) {
    const scenarios = template.tests.scenarios.filter((scenario) => scenario.name === by);
    if (scenarios.length !== 1) throw Error('not the name of one scenario: ' + by);
    if (template.code.split(from).length !== 2) throw Error('stands not exactly once in the code: ' + from);
    const code = template.code.replace(from, () => to);
    const [result] = await test({ ...template, code, tests: { ...template.tests, scenarios } }, true);
    caught.push(!result.ok);
  }
  console.log(JSON.stringify(caught));
}
main().catch((error) => {
  console.error(error.message);
  process.exitCode = 2;
});
