// usage: gtm_mutants.js RUNNER TEMPLATE < MUTATIONS.json
// Prints, for each {"from", "to"} made in the template's code, the names of the scenarios that fail.
'use strict';
const fs = require('fs');
const { load, test } = require(process.argv[2]);

async function main() {
  const text = fs.readFileSync(process.argv[3], 'utf8');
  const failing = [];
  for (const { from, to } of JSON.parse(fs.readFileSync(0, 'utf8'))) {
    const template = load(text);
    if (template.code.split(from).length !== 2) throw Error('stands not exactly once in the code: ' + from);
    template.code = template.code.replace(from, () => to);
    const results = await test(template, true);
    failing.push(results.filter((one) => !one.ok).map((one) => one.name));
  }
  console.log(JSON.stringify(failing));
}
main().catch((error) => {
  console.error(error.message);
  process.exitCode = 2;
});
