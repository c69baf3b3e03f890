import { runCommand } from './program.ts';

const ending = new AbortController();
let isAsked = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => {
    // What is under way is brought to its end; whoever asks twice does not want to wait for that.
    if (isAsked) process.exit(130);
    isAsked = true;
    ending.abort();
  });
// A reader such as `head` that has enough ends the command quietly.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

runCommand(process.argv.slice(2), {
  cwd: process.cwd(),
  env: process.env,
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  signal: ending.signal,
}).then((code) => {
  process.exitCode = code;
});
