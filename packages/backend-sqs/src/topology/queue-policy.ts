/** Names the one statement of a policy that is ours. */
const statementId = 'MelangeTopics';

interface Statement {
  readonly Sid?: string;
  readonly Condition?: { readonly ArnEquals?: Readonly<Record<string, string | readonly string[]>> };
}

/**
 * The policy with these topics allowed to send to the queue, besides those that it allows already and that are not
 * removed; `undefined` when it is so already. Statements of others stay as they are.
 */
export function changedPolicy(
  policy: string | undefined,
  queueArn: string,
  topicArns: readonly string[],
  isRemoved: (topicArn: string) => boolean,
): string | undefined {
  const { statements, rest } = parse(policy);
  const allowed = sourcesOf(statements.find(({ Sid }) => Sid === statementId));
  const wanted = [...new Set([...allowed, ...topicArns])].filter((arn) => !isRemoved(arn)).sort();
  if (wanted.length === allowed.length && wanted.every((arn) => allowed.includes(arn))) return undefined;
  const others = statements.filter(({ Sid }) => Sid !== statementId);
  const ours = {
    Sid: statementId,
    Effect: 'Allow',
    Principal: { Service: 'sns.amazonaws.com' },
    Action: 'sqs:SendMessage',
    Resource: queueArn,
    Condition: { ArnEquals: { 'aws:SourceArn': wanted } },
  };
  const Statement = wanted.length > 0 ? [...others, ours] : others;
  // A policy without statements is none: that is how it is taken away.
  return Statement.length > 0 ? JSON.stringify({ Version: '2012-10-17', ...rest, Statement }) : '';
}

/** Topics that our statement allows. */
export function topicsAllowedBy(policy: string | undefined): readonly string[] {
  return sourcesOf(parse(policy).statements.find(({ Sid }) => Sid === statementId));
}

function parse(policy: string | undefined): { statements: readonly Statement[]; rest: object } {
  if (policy === undefined || policy === '') return { statements: [], rest: {} };
  const { Statement = [], ...rest } = JSON.parse(policy) as { Statement?: Statement | Statement[] };
  return { statements: [Statement].flat(), rest };
}

function sourcesOf(statement: Statement | undefined): readonly string[] {
  const source = statement?.Condition?.ArnEquals?.['aws:SourceArn'] ?? [];
  return typeof source === 'string' ? [source] : source;
}

/** What a queue or topic is declared by. */
export function nameOf(arn: string): string {
  return arn.slice(arn.lastIndexOf(':') + 1);
}
