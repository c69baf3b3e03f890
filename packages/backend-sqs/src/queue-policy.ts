/** Names the one statement of a policy that is ours. */
const statementId = 'MelangeTopics';

interface Statement {
  readonly Sid?: string;
  readonly Condition?: { readonly ArnEquals?: Readonly<Record<string, string | readonly string[]>> };
}

/**
 * The policy with all these topics allowed to send to the queue, besides what it allows already; `undefined` when it
 * allows them already. Statements of others stay as they are.
 */
export function allowTopics(
  policy: string | undefined,
  queueArn: string,
  topicArns: readonly string[],
): string | undefined {
  const { statements, rest } = parse(policy);
  const allowed = sourcesOf(statements.find(({ Sid }) => Sid === statementId));
  if (topicArns.every((arn) => allowed.includes(arn))) return undefined;
  const ours = {
    Sid: statementId,
    Effect: 'Allow',
    Principal: { Service: 'sns.amazonaws.com' },
    Action: 'sqs:SendMessage',
    Resource: queueArn,
    Condition: { ArnEquals: { 'aws:SourceArn': [...new Set([...allowed, ...topicArns])].sort() } },
  };
  const others = statements.filter(({ Sid }) => Sid !== statementId);
  return JSON.stringify({ Version: '2012-10-17', ...rest, Statement: [...others, ours] });
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
