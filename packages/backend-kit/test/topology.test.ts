import { MelangeError, TopicNotFoundError } from '@melange/core';
import { describe, expect, it } from 'vitest';
import { settled } from '../../core/test/support/manual-clock.ts';
import { Away, last, messageOf, pass, scripted, watched } from './support/scripted-driver.ts';

const ignored = (): void => undefined;
const away = async (): Promise<never> => {
  throw new Away('busy');
};

describe('asking about queues and topics', () => {
  it('that nobody answers is a trouble, until it is answered', async () => {
    let isAway = true;
    const { backend, script } = scripted({
      topology: { describeQueue: async () => (isAway ? away() : script.description) },
    });
    const asked = watched(backend.describeQueue('q'));
    for (let second = 0; second <= 10; second += 1) await pass(script, 1_000);
    expect(asked.outcome).toMatchObject({ code: 'BROKER_UNAVAILABLE' });
    expect(await backend.health()).toMatchObject({
      status: 'degraded',
      detail: expect.stringContaining('asking about "q"'),
    });
    isAway = false;
    await backend.describeQueue('q');
    expect(await backend.health()).toEqual({ status: 'healthy' });
  });

  it('that nobody answered is forgotten 60 s after the last try', async () => {
    const { backend, script } = scripted({ topology: { describeQueue: away } });
    backend.describeQueue('q').catch(ignored);
    for (let second = 0; second < 10; second += 1) await pass(script, 1_000);
    expect((await backend.health()).status).toBe('degraded');
    await pass(script, 60_000);
    expect(await backend.health()).toEqual({ status: 'healthy' });
  });

  it('ends when the backend is closed, and is no trouble', async () => {
    const { backend, script } = scripted({ topology: { describeQueue: away } });
    const asked = watched(backend.describeQueue('q'));
    await settled();
    await backend.close();
    await pass(script, 10_000);
    expect(asked.outcome).toMatchObject({ code: 'CLOSED' });
    expect(script.lines).toEqual([]);
  });

  it('ends with the error that names what is missing', async () => {
    const { backend } = scripted({
      topology: {
        declareQueue: async () => {
          throw new TopicNotFoundError('t');
        },
      },
    });
    await expect(backend.declareQueue('q')).rejects.toMatchObject({
      code: 'TOPIC_NOT_FOUND',
      message: expect.stringContaining('"t"'),
    });
  });

  it('has as long for a declaration as the driver says', async () => {
    let declare = (): Promise<void> => new Promise(ignored);
    const topology = { declareQueue: () => declare(), maxDeclareMs: 30_000 };
    const { backend, script } = scripted({ topology });
    const declared = watched(backend.declareQueue('q'));
    await pass(script, 29_999);
    expect(declared.outcome).toBe('open');
    await pass(script, 1);
    expect(declared.outcome).toMatchObject({ code: 'BROKER_UNAVAILABLE' });
    // A try that fails at once is made again for no longer than another request.
    declare = away;
    const refused = watched(backend.declareQueue('q'));
    for (let second = 0; second < 11; second += 1) await pass(script, 1_000);
    expect(refused.outcome).toMatchObject({ code: 'BROKER_UNAVAILABLE' });
  });

  it('of a subscription is what the driver finds with less requests', async () => {
    const describeQueue = async (): Promise<never> => {
      throw new MelangeError('CONFIGURATION', 'takes too many requests');
    };
    const findQueue = async () => ({ exists: true, deadLetterQueue: 'dead' });
    const { backend } = scripted({ topology: { describeQueue, findQueue } });
    const subscription = await backend.subscribe('q', { maxInFlight: 1 }, ignored);
    void subscription.close();
  });
});

describe('a name', () => {
  const long = 'x'.repeat(21);
  const refused = { code: 'CONFIGURATION' };

  it('that the broker does not take is refused, whatever is asked of it', async () => {
    const { backend, script } = scripted();
    const uses = [
      () => backend.describeQueue(long),
      () => backend.deleteQueue(long),
      () => backend.deleteTopic(long),
      () => backend.subscribe(long, { maxInFlight: 1 }, ignored),
      () => backend.publishToQueue(long, [messageOf('a')]),
      () => backend.publishToTopic(long, [messageOf('a')]),
    ];
    for (const use of uses) await expect(use()).rejects.toMatchObject(refused);
    expect(script.sent).toEqual([]);
  });

  it('of a topic has rules of its own where the driver has them', async () => {
    const { backend, script } = scripted({ more: { topicNames: { maxBytes: 30 } } });
    await backend.declareTopic(long);
    await backend.declareQueue('q', { topics: [long] });
    void backend.publishToTopic(long, [messageOf('a')]);
    await settled();
    expect(last(script.sent).destination).toEqual({ kind: 'topic', name: long });
    await expect(backend.declareTopic('x'.repeat(31))).rejects.toMatchObject(refused);
  });
});

it('a delay that a destination cannot keep is refused', async () => {
  const checked: unknown[] = [];
  const { backend, script } = scripted({
    checkDelay: (destination, delayMs) => {
      checked.push(destination, delayMs);
      throw new MelangeError('UNSUPPORTED', 'no delays here');
    },
  });
  await expect(backend.publishToQueue('q', [messageOf('a')], { delayMs: 5 })).rejects.toMatchObject({
    code: 'UNSUPPORTED',
  });
  expect(checked).toEqual([{ kind: 'queue', name: 'q' }, 5]);
  void backend.publishToQueue('q', [messageOf('a')]);
  await settled();
  expect(script.sent).toHaveLength(1);
});

it('the address of a backend without a connection is what its driver says', () => {
  expect(scripted({ more: { address: 'region north' } }).backend.address).toBe('region north');
});
