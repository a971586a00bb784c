// The API speaks to programs and to the command line as well. What a page shows of its words names neither: a page has
// ways of its own.

/** A command, an option of one, or a call of the API, between backticks. */
const COMMAND =
  /`(?:--[a-z]|(?:trueup|mapping|apply|plan|task|quantity|audit|undo|setting|approval|psa|feed|connection|finding|GET|POST|PUT|PATCH|DELETE)\s)[^`]*`/;

export const hasCommand = (text: string): boolean => COMMAND.test(text);

/** Sentences and clauses after a semicolon. What stands between backticks is one word, whatever dots it has. */
function sentences(text: string): string[] {
  const quoted: string[] = [];
  const plain = text.replace(/`[^`]*`/g, (span) => `\u0001${quoted.push(span) - 1}\u0002`);
  const back = (part: string) => part.replace(/\u0001(\d+)\u0002/g, (_, at: string) => quoted[parseInt(at, 10)] ?? '');
  return plain.split(/(?<=[.!?;])\s+/).map(back);
}

/** A text without the sentences and brackets that name a command; nothing, where all of them do. */
export function withoutCommands(text: string): string {
  if (!hasCommand(text)) return text;
  const bare = text.replace(/\s*\((?:[^()`]|`[^`]*`)*\)/g, (brackets) => (hasCommand(brackets) ? '' : brackets));
  return sentences(bare)
    .filter((one) => !hasCommand(one))
    .join(' ')
    .replace(/;$/, '.');
}

/** Codes whose way out is one of the console's own pages, whatever way the API names: there, it names ids and commands. */
export const OWN_WAY: ReadonlySet<string> = new Set(['TU7007']);
