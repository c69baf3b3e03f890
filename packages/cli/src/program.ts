import { Command, CommanderError, Option } from 'commander';
import { asyncapi } from './commands/asyncapi.ts';
import { dashboard } from './commands/dashboard.ts';
import { discard, importLetters, redrive } from './commands/dead-change.ts';
import { addFilterOptions } from './commands/dead-filter.ts';
import { exportLetters, list, show, summarize } from './commands/dead-look.ts';
import { doctor } from './commands/doctor.ts';
import { apply, plan } from './commands/plan.ts';
import { publish } from './commands/publish.ts';
import { queues } from './commands/queues.ts';
import { tail } from './commands/tail.ts';
import { completionScript, shells } from './completion.ts';
import { brokers } from './connect/brokers.ts';
import { acting, type CommandAction, Reported, type Surroundings } from './context.ts';
import { describe, exitCode, exitCodeOf } from './exit-codes.ts';
import { harmless } from './output/harmless.ts';

const exitCodesHelp = `
Exit codes: 0 done; 1 failed; 2 the command or the config makes no sense; 3 done in part, or something wants attention;
4 no such queue, topic or message; 130 interrupted.`;

const connectionsHelp = `
Brokers come from melange.config.ts in this folder, or from these options. URLs with passwords are better given by the
environment, where others on the machine do not see them: MELANGE_RABBITMQ, MELANGE_KAFKA, and so on.`;

/** Runs the command; answers the exit code, and never throws. */
export async function runCommand(args: readonly string[], surroundings: Surroundings): Promise<number> {
  let code: number = exitCode.done;
  const program = programOf(surroundings, (answered) => {
    code = answered;
  });
  try {
    await program.parseAsync(args, { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCode.done : exitCode.usage;
    surroundings.stderr.write(`error: ${harmless(describe(error))}\n`);
    return surroundings.signal.aborted
      ? exitCode.interrupted
      : exitCodeOf(error instanceof Reported ? error.cause : error);
  }
}

function programOf(surroundings: Surroundings, done: (code: number) => void): Command {
  const act = <Options>(run: CommandAction<Options>): ((...parameters: unknown[]) => Promise<void>) =>
    acting(surroundings, done, run);
  const program = new Command('melange')
    .description('Queues and dead letters of Melange services, on any broker')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void surroundings.stdout.write(text),
      writeErr: (text) => void surroundings.stderr.write(text),
    })
    .configureHelp({ showGlobalOptions: true })
    .option('--config <file>', 'config (default: melange.config.ts, .mts, .js or .mjs in this folder)')
    .option('--backend <name>', 'which of several backends')
    .option('--json', 'answer as JSON, on standard output alone')
    .addHelpText('after', `${connectionsHelp}\n${exitCodesHelp}`);
  for (const { name, argument, description } of brokers)
    program.addOption(new Option(`--${name} ${argument}`, description));
  const command = (parent: Command, name: string, description: string): Command =>
    parent.command(name).description(description).addHelpText('after', exitCodesHelp);

  command(program, 'queues [names...]', 'depth, messages in flight, dead letters and age of queues')
    .option('--watch [every]', 'look again, every 2s or as often as said')
    .action(act(queues));

  command(program, 'dashboard [names...]', 'a web page with queues and dead letters, for this machine')
    .option('--port <number>', 'port; 0 takes a free one', '7654')
    .option('--host <address>', 'address to listen on; others than loopback need a token', '127.0.0.1')
    .option('--allow-changes', 'let the page redrive and discard letters')
    .option('--audit <file>', 'append who did what to a file, instead of standard error')
    .addHelpText(
      'after',
      '\nA token in MELANGE_DASHBOARD_TOKEN is asked for by the page, and lets other machines in.',
    )
    .action(act(dashboard));

  addDead(command(program, 'dead', 'dead letters: look, move back, discard'), command, act);

  command(program, 'tail <name>', 'messages of a topic or queue as they come, without taking any')
    .option('--manifest <manifest...>', 'these shapes only')
    .option('--header <name=value...>', 'with these headers')
    .option('--text <text>', 'with this text in the content')
    .option('--count <number>', 'end after so many')
    .action(act(tail));

  command(
    program,
    'publish <destination> [content]',
    'publish JSON to a queue or topic, checked by the schema of its manifest',
  )
    .option('--manifest <manifest>', 'shape of the content, such as OrderPlaced (default: json)')
    .option('--header <name=value...>', 'headers')
    .option('--key <key>', 'ordering key')
    .option('--id <id>', 'id of the message (default: a new one)')
    .option('--file <file>', 'read the content from a file; - or nothing for standard input')
    .option('--lines', 'each line is the content of a message')
    .action(act(publish));

  command(program, 'plan', 'what the services declare against what the brokers have; changes nothing').action(
    act(plan),
  );
  command(program, 'apply', 'declare what is missing or different')
    .option('--yes', 'do it; without this it is only said')
    .option('--remove', 'also take away topics and manifests that are not declared any more')
    .action(act(apply));

  command(program, 'asyncapi [service]', 'AsyncAPI 3 document of a service')
    .option('--document-version <version>', 'version in the document', '1.0.0')
    .action(act(asyncapi));

  command(
    program,
    'doctor',
    'connect, and send a message there and back: each line ok, or what to do',
  ).action(act(doctor));

  program
    .command('completion')
    .description('script that completes this command in a shell')
    .addArgument(program.createArgument('<shell>').choices(shells))
    .action((shell: (typeof shells)[number]) => {
      surroundings.stdout.write(completionScript(shell, program));
    });
  return program;
}

type MakeCommand = (parent: Command, name: string, description: string) => Command;
type Act = <Options>(run: CommandAction<Options>) => (...parameters: unknown[]) => Promise<void>;

function addDead(dead: Command, command: MakeCommand, act: Act): void {
  const queue = '<queue>';
  dead.addHelpText('after', '\n<queue> is a dead-letter queue, or the queue whose dead letters are meant.');
  addFilterOptions(command(dead, `list ${queue}`, 'the letters, in the order of the queue'))
    .option('--limit <number>', 'most letters', '100')
    .action(act(list));
  addFilterOptions(command(dead, `summarize ${queue}`, 'how many failed alike')).action(act(summarize));
  command(dead, `show ${queue} <id>`, 'one letter: error, headers, content')
    .option('--full', 'a long content to its end')
    .action(act(show));
  addFilterOptions(command(dead, `redrive ${queue}`, 'move letters back to the queue that each failed in'))
    .option('--yes', 'do it; without this it is only said')
    .option('--to <queue>', 'to this queue instead')
    .option('--rate <number>', 'most letters in a second')
    .option('--first <number>', 'so many first; the others only if none of them fails again')
    .option(
      '--patience <duration>',
      'how long one of the first may take to fail again, such as 90s (default: 5m)',
    )
    .option(
      '--until <time>',
      'leave what was dead-lettered later (default: now); to go on after an interruption',
    )
    .action(act(redrive));
  addFilterOptions(command(dead, `discard ${queue}`, 'remove letters for good'))
    .option('--yes', 'do it; without this it is only said')
    .action(act(discard));
  addFilterOptions(command(dead, `export ${queue}`, 'write letters as lines of JSON; they stay'))
    .option('-o, --output <file>', 'to a new file (default: standard output)')
    .action(act(exportLetters));
  command(
    dead,
    'import <queue> [file]',
    'publish exported letters to a queue; from standard input without a file',
  )
    .option('--yes', 'do it; without this they are only checked')
    .action(act(importLetters));
}
