// Loaded before a main.js.
'use strict';

// It gets its arguments here: they hold a password, which a list of processes must not show.
const given = process.env.MAIN_JS_ARGUMENTS;
if (given !== undefined) {
  delete process.env.MAIN_JS_ARGUMENTS;
  process.argv.push(...JSON.parse(given));

  // Exit code 1 says by the contract that the task cannot go on. Node.js also ends with 1 after an exception that
  // nothing catches, so the node sees another code when the program itself chose 1.
  const CANNOT_GO_ON = 86;
  const exit = process.exit;
  process.exit = (...codes) => {
    process.once('exit', (code) => {
      if (Number(code) === 1) process.exitCode = CANNOT_GO_ON;
    });
    return exit.apply(process, codes);
  };
}
