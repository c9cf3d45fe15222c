// Loaded before a main.js: gives it its arguments, which hold a password and so are in no list of processes.
'use strict';
const given = process.env.MAIN_JS_ARGUMENTS;
if (given !== undefined) {
  delete process.env.MAIN_JS_ARGUMENTS;
  process.argv.push(...JSON.parse(given));
}
