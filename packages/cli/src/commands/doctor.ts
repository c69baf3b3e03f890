import { randomUUID } from 'node:crypto';
import { MelangeError, type Message } from '@melange/core';
import type { Connection } from '../connect/connections.ts';
import type { CommandContext } from '../context.ts';
import { describe, exitCode } from '../exit-codes.ts';
import { harmless } from '../output/harmless.ts';
import { differencesOf } from '../plan-differences.ts';

/** One thing that was looked at. */
interface Finding {
  readonly subject: string;
  readonly isOk: boolean;
  /** What there is, or what to do. */
  readonly text: string;
}

const roundTripMs = 15_000;

/** `doctor`: each line ok, or what to do. */
export async function doctor({ connections, output, secrets }: CommandContext): Promise<number> {
  const findings: Finding[] = [];
  const tell = (subject: string, isOk: boolean, text: string): boolean => {
    const finding = { subject, isOk, text: secrets.hide(text) };
    findings.push(finding);
    if (!output.json) {
      const mark = isOk ? output.tone('good', 'ok  ') : output.tone('bad', 'FAIL');
      output.line(`${mark}  ${harmless(subject)}: ${harmless(finding.text)}`);
    }
    return isOk;
  };
  tellNode(tell);
  const all = await connections();
  for (const connection of all.all) {
    const { name, backend } = connection;
    const address = backend.address === undefined ? '' : ` at ${backend.address}`;
    if (!(await attempt(tell, `${name}: connect`, () => connects(connection), `${backend.name}${address}`)))
      continue;
    await attempt(tell, `${name}: one message there and back`, () => roundTrip(connection));
    for (const { service, backendName } of connection.services) {
      for (const plan of service.plan.queues) {
        if (plan.backend !== backendName) continue;
        const subject = `${name}: queue ${plan.name} of ${service.name}`;
        await attempt(tell, subject, async () => {
          const found = await backend.describeQueue(plan.name);
          const differences = differencesOf(plan, found);
          if (differences.length > 0)
            throw new Error(`${differences.map(({ text }) => text).join('; ')}: melange plan`);
          const dead = plan.deadLetterQueue;
          if (dead === undefined)
            throw new Error(
              'it has no dead-letter queue: what cannot be processed is retried or lost to sight',
            );
          const { depth } = await backend.describeQueue(dead);
          if (depth > 0) throw new Error(`${depth} dead letters wait: melange dead summarize ${plan.name}`);
          return 'as declared, no dead letters';
        });
      }
    }
  }
  if (output.json) output.data(findings);
  return findings.every(({ isOk }) => isOk) ? exitCode.done : exitCode.attention;
}

type Tell = (subject: string, isOk: boolean, text: string) => boolean;

function tellNode(tell: Tell): void {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const isOk = major > 20 || (major === 20 && minor >= 19);
  tell(
    'Node.js',
    isOk,
    isOk ? process.versions.node : `${process.versions.node}: Melange needs 20.19 or later`,
  );
}

async function attempt(
  tell: Tell,
  subject: string,
  look: () => Promise<string | undefined>,
  ok = '',
): Promise<boolean> {
  try {
    const text = await look();
    return tell(subject, true, text ?? ok);
  } catch (error) {
    return tell(subject, false, `${describe(error)}${advice(error)}`);
  }
}

/** A queue that is not there is an answer: the broker was reached, and knows us. */
async function connects({ backend }: Connection): Promise<undefined> {
  await backend.describeQueue('melange-doctor');
  const { status, detail } = await backend.health();
  if (status !== 'healthy') throw new Error(detail ?? status);
  return undefined;
}

async function roundTrip({ backend }: Connection): Promise<string> {
  const queue = `melange-doctor-${randomUUID()}`;
  const sent: Message = {
    id: randomUUID(),
    content: '{"from":"melange doctor"}',
    manifest: 'json',
    serializerId: 1,
    key: undefined,
    headers: {},
    publishedAt: Date.now(),
  };
  const begun = performance.now();
  try {
    await backend.declareQueue(queue);
    await backend.publishToQueue(queue, [sent]);
    const published = performance.now();
    await received(backend, queue, sent.id);
    const ms = (from: number, to: number): string => `${Math.round(to - from)} ms`;
    return `declared and published in ${ms(begun, published)}, received in ${ms(published, performance.now())}`;
  } finally {
    await backend.deleteQueue(queue);
  }
}

async function received(backend: Connection['backend'], queue: string, id: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  let subscription: Awaited<ReturnType<typeof backend.subscribe>> | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      timer = setTimeout(
        () => reject(new Error(`it did not come back within ${roundTripMs} ms`)),
        roundTripMs,
      );
      backend
        .subscribe(queue, { maxInFlight: 1 }, (delivery) => {
          if (delivery.message.id === id) Promise.resolve(delivery.acknowledge()).then(resolve, reject);
        })
        .then((opened) => {
          subscription = opened;
          opened.ended.catch(reject);
        }, reject);
    });
  } finally {
    clearTimeout(timer);
    await subscription?.close();
  }
}

function advice(error: unknown): string {
  if (MelangeError.is(error, 'BROKER_UNAVAILABLE'))
    return ' Look whether it runs, its address, and who may connect.';
  return '';
}
