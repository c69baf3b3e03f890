import type { Command } from 'commander';

/** Words that may follow a command, by its path: `dead redrive`. */
interface Words {
  readonly path: string;
  readonly commands: readonly { readonly name: string; readonly description: string }[];
  readonly options: readonly { readonly name: string; readonly description: string }[];
}

/** Shells that there is a script for. */
export const shells = ['bash', 'zsh', 'fish'] as const;

/** The script that a shell reads to complete the command. */
export function completionScript(shell: (typeof shells)[number], program: Command): string {
  const words = wordsOf(program, [], []);
  return { bash, zsh, fish }[shell](words);
}

function wordsOf(command: Command, path: readonly string[], inherited: Words['options']): Words[] {
  const own = command.options.flatMap(({ long, short, description }) =>
    [long, short].filter((name) => name != null).map((name) => ({ name, description })),
  );
  const options = [...own, ...inherited, { name: '--help', description: 'help' }];
  const commands = command.commands.map((child) => ({
    name: child.name(),
    description: child.description(),
  }));
  return [
    { path: path.join(' '), commands, options },
    ...command.commands.flatMap((child) => wordsOf(child, [...path, child.name()], [...own, ...inherited])),
  ];
}

/** Finds which command the words before the cursor are, in the words of bash and zsh. */
function pathIn(words: readonly Words[]): string {
  const paths = words.filter(({ path }) => path !== '').map(({ path }) => `"${path}"`);
  return `  local path="" word
  for word in "\${words[@]:1:$((current - 1))}"; do
    case "$word" in -*) continue ;; esac
    case "\${path:+$path }$word" in ${paths.join('|')}) path="\${path:+$path }$word" ;; esac
  done
  case "$path" in
${words
  .map(({ path, commands, options }) => {
    const all = [...commands, ...options].map(({ name }) => name);
    return `    "${path}") candidates="${[...new Set(all)].join(' ')}" ;;`;
  })
  .join('\n')}
  esac`;
}

function bash(words: readonly Words[]): string {
  return `# melange completion bash > /etc/bash_completion.d/melange
_melange() {
  local candidates="" current=$COMP_CWORD
  local -a words=("\${COMP_WORDS[@]}")
${pathIn(words)}
  COMPREPLY=($(compgen -W "$candidates" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _melange melange
`;
}

function zsh(words: readonly Words[]): string {
  return `#compdef melange
# melange completion zsh > "\${fpath[1]}/_melange"
_melange() {
  local candidates="" path="" word
  for word in "\${(@)words[2,CURRENT-1]}"; do
    case "$word" in -*) continue ;; esac
    case "\${path:+$path }$word" in
      ${words
        .filter(({ path }) => path !== '')
        .map(({ path }) => `"${path}"`)
        .join('|')}) path="\${path:+$path }$word" ;;
    esac
  done
  case "$path" in
${words
  .map(({ path, commands, options }) => {
    const all = [...commands, ...options].map(({ name }) => name);
    return `    "${path}") candidates="${[...new Set(all)].join(' ')}" ;;`;
  })
  .join('\n')}
  esac
  compadd -- \${(s: :)candidates}
  _files
}
if [ "$funcstack[1]" = "_melange" ]; then _melange "$@"; else compdef _melange melange; fi
`;
}

function fish(words: readonly Words[]): string {
  const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  const lines = words.flatMap(({ path, commands, options }) => {
    const condition = quoted(`test "$(__melange_path)" = "${path}"`);
    const line = ({ name, description }: Words['options'][number]): string => {
      const word = name.startsWith('--')
        ? `-l ${name.slice(2)}`
        : name.startsWith('-')
          ? `-s ${name.slice(1)}`
          : `-a ${quoted(name)}`;
      return `complete -c melange -n ${condition} ${word} -d ${quoted(description)}`;
    };
    return [...commands.map(line), ...options.map(line)];
  });
  const paths = words.filter(({ path }) => path !== '').map(({ path }) => quoted(path));
  return `# melange completion fish > ~/.config/fish/completions/melange.fish
function __melange_path
  set -l path
  for word in (commandline -opc)[2..]
    string match -q -- '-*' $word; and continue
    set -l longer (string trim "$path $word")
    contains -- $longer ${paths.join(' ')}; and set path $longer
  end
  echo $path
end
${[...new Set(lines)].join('\n')}
`;
}
