import ora from 'ora';

/** Shows how far the benchmark is. Everything goes to standard error: standard output is for results. */
export interface Progress {
  /** @param done of `total` runs. */
  update(text: string, done: number, total: number): void;
  /** A line that stays. */
  say(line: string): void;
  done(): void;
}

/** A spinner on a terminal; lines where the output is piped. */
export function startProgress(): Progress {
  // On a terminal without a width, as some programs make them, ora would clear for ever.
  if (!process.stderr.isTTY || !(process.stderr.columns > 0)) {
    return {
      update: (text, done, total) => console.error(`[${done}/${total}] ${text}`),
      say: (line) => console.error(line),
      done: () => undefined,
    };
  }
  // With its default ora makes the terminal raw, and Ctrl-C then reaches nobody.
  const spinner = ora({ discardStdin: false, stream: process.stderr }).start();
  return {
    update(text, done, total) {
      spinner.text = `[${done}/${total}] ${text}`;
    },
    say(line) {
      spinner.clear();
      console.error(line);
    },
    done: () => void spinner.stop(),
  };
}
