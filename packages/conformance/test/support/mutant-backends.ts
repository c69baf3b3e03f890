import {
  type Delivery,
  type MaybePromise,
  MelangeError,
  type Message,
  type MessagingBackend,
  type Subscription,
} from '@melange/core';
import {
  type Alter,
  altered,
  content,
  deliveries,
  type Mutant,
  mutant,
  subscriptions,
} from './altered-backends.ts';

const wait = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds));
const nothing = async (): Promise<void> => {};

/** Settlement by a number that each subscription counts from one: right only while there is one subscription. */
function sharedTags(): Alter {
  const byTag = new Map<number, Delivery>();
  const tags = new Map<number, number>();
  return deliveries((delivery, subscription) => {
    const tag = (tags.get(subscription) ?? 0) + 1;
    tags.set(subscription, tag);
    byTag.set(tag, delivery);
    const addressed = () => byTag.get(tag) ?? delivery;
    return {
      acknowledge: () => addressed().acknowledge(),
      retry: (options) => addressed().retry(options),
      release: () => addressed().release(),
    };
  });
}

function cumulative(): Alter {
  const earlier: Delivery[] = [];
  return deliveries((delivery) => {
    earlier.push(delivery);
    return {
      acknowledge: async () => {
        const upToThis = earlier.splice(0, earlier.indexOf(delivery) + 1);
        await Promise.allSettled(upToThis.map((one) => one.acknowledge()));
      },
    };
  });
}

function sharedMessages(): Alter {
  const known = new Map<string, Message>();
  return deliveries(({ message }) => {
    const shared = known.get(message.id) ?? message;
    known.set(message.id, shared);
    return { message: shared };
  });
}

async function silently(
  code: 'QUEUE_NOT_FOUND' | 'TOPOLOGY_CONFLICT' | 'DELIVERY_SETTLED',
  work: MaybePromise<void>,
) {
  try {
    await work;
  } catch (error) {
    if (!MelangeError.is(error, code)) throw error;
  }
}

/** Takes more than it may hand over, and keeps the rest for later. */
function prefetching(giveBack: (buffered: Delivery) => void): Alter {
  return (backend) => ({
    subscribe: async (queue, { maxInFlight, ...options }, receive) => {
      const buffer: Delivery[] = [];
      let room = maxInFlight;
      const handOver = (): void => {
        while (room > 0 && buffer.length > 0) {
          room -= 1;
          receive(buffer.shift() as Delivery);
        }
      };
      const keep = (delivery: Delivery): void => {
        buffer.push(delivery);
        handOver();
      };
      const subscription = await backend.subscribe(
        queue,
        { ...options, maxInFlight: maxInFlight + 10 },
        keep,
      );
      return altered(subscription, {
        close: () => {
          room = 0;
          const closed = subscription.close();
          for (const one of buffer.splice(0)) giveBack(one);
          return closed;
        },
      });
    },
  });
}

/** Defective backends. */
export const mutantBackends: readonly Mutant<MessagingBackend>[] = [
  mutant('acknowledges before the handler is done', 'settle/release', (backend) => ({
    subscribe: (queue, options, receive) =>
      backend.subscribe(queue, options, (delivery) => {
        void delivery.acknowledge();
        receive(
          altered(delivery, { acknowledge: nothing, retry: nothing, release: nothing, deadLetter: nothing }),
        );
      }),
  })),
  mutant(
    'loses a message on retry',
    'retry/many',
    deliveries((one) => ({ retry: async () => one.acknowledge() })),
  ),
  mutant(
    'loses a message on release',
    'settle/release',
    deliveries((one) => ({ release: async () => one.acknowledge() })),
  ),
  mutant(
    'ignores the delay of a retry',
    'retry/honours-delay',
    deliveries((one) => ({ retry: () => one.retry() })),
  ),
  mutant(
    'sleeps through the delay of a retry',
    'retry/does-not-block-others',
    deliveries((one) => ({
      retry: async ({ delayMs = 0 } = {}) => {
        await wait(delayMs);
        await one.retry();
      },
    })),
  ),
  mutant(
    'does not count attempts',
    'retry/counts-attempts',
    deliveries(() => ({ attempt: 1 })),
  ),
  mutant('shares delivery tags among subscriptions', 'settle/subscriptions-do-not-mix', sharedTags()),
  mutant('shares delivery tags within a queue', 'settle/subscriptions-of-one-queue-do-not-mix', sharedTags()),
  mutant('acknowledges what came before too', 'settle/out-of-order', cumulative()),
  mutant(
    'accepts a second settlement',
    'settle/second-settlement-rejects',
    deliveries((one) => ({
      acknowledge: () => silently('DELIVERY_SETTLED', one.acknowledge()),
      retry: (options) => silently('DELIVERY_SETTLED', one.retry(options)),
    })),
  ),
  mutant(
    'hands over one more than maxInFlight',
    'concurrency-and-backpressure/never-more-than-max-in-flight',
    (backend) => ({
      subscribe: (queue, options, receive) =>
        backend.subscribe(queue, { ...options, maxInFlight: options.maxInFlight + 1 }, receive),
    }),
  ),
  mutant('hands over one at a time', 'concurrency-and-backpressure/as-many-as-max-in-flight', (backend) => ({
    subscribe: (queue, options, receive) => backend.subscribe(queue, { ...options, maxInFlight: 1 }, receive),
  })),
  mutant(
    'delivers text as bytes',
    'publish/text-content',
    content((message) =>
      typeof message.content === 'string' ? { content: Buffer.from(message.content) } : {},
    ),
  ),
  mutant(
    'delivers bytes as text',
    'publish/binary-content',
    content((message) =>
      message.content instanceof Uint8Array ? { content: Buffer.from(message.content).toString() } : {},
    ),
  ),
  mutant(
    'drops headers',
    'publish/envelope-round-trip',
    content(() => ({ headers: {} })),
  ),
  mutant(
    'invents a manifest',
    'publish/undefined-fields',
    content(({ manifest }) => ({ manifest: manifest ?? 'json' })),
  ),
  mutant('delivers the same object to everybody', 'subscribe/no-shared-references', sharedMessages()),
  mutant('publishes to a missing queue in silence', 'publish/missing-queue', (backend) => ({
    publishToQueue: (queue, messages) => silently('QUEUE_NOT_FOUND', backend.publishToQueue(queue, messages)),
  })),
  mutant('takes the messages for a queue only later', 'publish/no-shared-references', (backend) => ({
    publishToQueue: async (queue, messages) => {
      await nothing();
      await backend.publishToQueue(queue, messages);
    },
  })),
  mutant('takes the messages for a topic only later', 'publish/no-shared-references', (backend) => ({
    publishToTopic: async (topic, messages) => {
      await nothing();
      await backend.publishToTopic(topic, messages);
    },
  })),
  mutant('sends the bytes of the publisher itself', 'publish/no-shared-references', (backend) => ({
    publishToQueue: async (queue, messages) => {
      const taken = [...messages];
      await nothing();
      await backend.publishToQueue(queue, taken);
    },
  })),
  mutant('publishes everything twice', 'publish/batch', (backend) => ({
    publishToQueue: (queue, messages) => backend.publishToQueue(queue, [...messages, ...messages]),
  })),
  mutant('forgets the last message of a batch', 'publish/batch', (backend) => ({
    publishToQueue: (queue, messages) => backend.publishToQueue(queue, messages.slice(0, -1)),
  })),
  mutant('publishes in another order', 'ordering/one-at-a-time', (backend) => ({
    publishToQueue: (queue, messages) => backend.publishToQueue(queue, messages.toReversed()),
  })),
  mutant('ignores filters', 'topics-and-filters/filter', (backend) => ({
    declareQueue: (name, { filter: _, ...options } = {}) => backend.declareQueue(name, options),
  })),
  mutant('dead-letters without saying why', 'dead-letter/original-and-circumstances', (backend) => ({
    subscribe: (queue, options, receive) =>
      backend.subscribe(queue, options, (delivery) =>
        receive(
          altered(delivery, {
            deadLetter: async () => {
              const { deadLetterQueue } = await backend.describeQueue(queue);
              await backend.publishToQueue(deadLetterQueue ?? '', [delivery.message]);
              await delivery.acknowledge();
            },
          }),
        ),
      ),
  })),
  mutant(
    'drops a dead letter that has nowhere to go',
    'dead-letter/without-a-queue',
    deliveries((one) => ({
      deadLetter: (options) => one.deadLetter(options).catch(() => one.acknowledge()),
    })),
  ),
  mutant('drops a dead letter whose queue is gone', 'dead-letter/queue-is-gone', (backend) => ({
    subscribe: (queue, options, receive) =>
      backend.subscribe(queue, options, (delivery) =>
        receive(
          altered(delivery, {
            deadLetter: async () => {
              await delivery.acknowledge();
              const { deadLetterQueue } = await backend.describeQueue(queue);
              await backend.publishToQueue(deadLetterQueue ?? '', [delivery.message]);
            },
          }),
        ),
      ),
  })),
  mutant('accepts a conflicting declaration', 'topology/conflict', (backend) => ({
    declareQueue: (name, options) => silently('TOPOLOGY_CONFLICT', backend.declareQueue(name, options)),
  })),
  mutant('makes the queue anew when declared again', 'topology/idempotent', (backend) => ({
    declareQueue: async (name, options) => {
      await backend.deleteQueue(name);
      await backend.declareQueue(name, options);
    },
  })),
  mutant(
    'goes on receiving for a while when closed',
    'shutdown/intake-stops-at-once',
    subscriptions((subscription) => ({
      close: async () => {
        await wait(20);
        await subscription.close();
      },
    })),
  ),
  mutant(
    'does not wait for unsettled deliveries',
    'shutdown/waits-for-unsettled',
    subscriptions((subscription) => ({
      close: async () => void subscription.close(),
    })),
  ),
  mutant('takes an empty body for no message', 'foreign-messages/empty-body', (backend) => ({
    publishToQueue: (queue, messages) =>
      backend.publishToQueue(
        queue,
        messages.filter((one) => one.content?.length !== 0),
      ),
  })),
  mutant(
    'takes every message for one of its own',
    'foreign-messages/no-headers',
    content(({ serializerId = 0 }) => ({ serializerId })),
  ),
  mutant(
    'decodes base64 that nobody encoded',
    'foreign-messages/pickle',
    content(({ content: given }) =>
      typeof given === 'string' && /^[A-Za-z0-9+/\n]{60,}=*$/.test(given)
        ? { content: Buffer.from(given, 'base64').toString('latin1') }
        : {},
    ),
  ),
  mutant('keeps the place of a message that is to wait', 'keys-in-trouble/many-failing-keys', (backend) => ({
    subscribe: (queue, options, receive) =>
      backend.subscribe(queue, options, (delivery) =>
        receive(
          altered(delivery, {
            // Unsettled meanwhile, it counts against maxInFlight.
            retry: async ({ delayMs = 0, ...rest } = {}) => {
              await wait(delayMs * 20);
              await delivery.retry(rest);
            },
          }),
        ),
      ),
  })),
  mutant('hands over before subscribe has resolved', 'subscribe/nothing-before-it-resolves', (backend) => ({
    subscribe: async (queue, options, receive) => {
      const subscription = await backend.subscribe(queue, options, receive);
      await wait(20);
      return subscription;
    },
  })),
  mutant('takes any maxInFlight', 'subscribe/senseless-max-in-flight', (backend) => ({
    subscribe: (queue, { maxInFlight, ...options }, receive) =>
      backend.subscribe(
        queue,
        { ...options, maxInFlight: Math.max(1, Math.floor(maxInFlight) || 1) },
        receive,
      ),
  })),
  mutant('forgets the subscriptions of a deleted queue', 'subscribe/deleted-queue', (backend) => {
    const open = new Map<string, Subscription[]>();
    return {
      subscribe: async (queue, options, receive) => {
        const subscription = await backend.subscribe(queue, options, receive);
        open.set(queue, [...(open.get(queue) ?? []), subscription]);
        return subscription;
      },
      deleteQueue: async (name) => {
        await backend.deleteQueue(name);
        for (const subscription of open.get(name) ?? []) void subscription.close();
      },
    };
  }),
  mutant('is healthy though its queue is gone', 'subscribe/deleted-queue', () => ({
    health: async () => ({ status: 'healthy' }),
  })),
  mutant(
    'gives a receiver that throws its message again at once',
    'subscribe/throwing-receiver',
    (backend) => ({
      subscribe: (queue, options, receive) =>
        backend.subscribe(queue, options, (delivery) => {
          try {
            receive(delivery);
          } catch {
            void delivery.retry();
          }
        }),
    }),
  ),
  mutant('stops at a receiver that throws', 'subscribe/throwing-receiver', (backend) => ({
    subscribe: (queue, options, receive) => {
      let isBroken = false;
      return backend.subscribe(queue, options, (delivery) => {
        if (isBroken) return;
        try {
          receive(delivery);
        } catch {
          isBroken = true;
        }
      });
    },
  })),
  mutant('keeps the first filter', 'topics-and-filters/filters-add-up', (backend) => {
    const declared = new Set<string>();
    return {
      declareQueue: async (name, options) => {
        if (!declared.has(name)) await backend.declareQueue(name, options);
        declared.add(name);
      },
    };
  }),
  mutant('makes the last filter the filter', 'topics-and-filters/filters-add-up', (backend) => ({
    declareQueue: (name, options) => backend.declareQueue(name, { ...options, replaceFilter: true }),
  })),
  mutant('never replaces a filter', 'topics-and-filters/replaces-a-filter', (backend) => ({
    declareQueue: (name, { replaceFilter: _, ...options } = {}) => backend.declareQueue(name, options),
  })),
  mutant('never removes a topic', 'topology/removes-topics-by-name', (backend) => ({
    declareQueue: (name, { removeTopics: _, ...options } = {}) => backend.declareQueue(name, options),
  })),
  mutant('tells no filter', 'topology/describes-topics-and-filter', (backend) => ({
    describeQueue: async (name) => ({ ...(await backend.describeQueue(name)), filter: undefined }),
  })),
  mutant(
    'deduplicates dead letters by queue and sequence',
    'topology/dead-letters-of-a-queue-made-again',
    (backend) => {
      const seen = new Set<string>();
      return {
        subscribe: (queue, options, receive) => {
          let sequence = 0;
          return backend.subscribe(queue, options, (delivery) => {
            sequence += 1;
            const copy = `${queue} ${sequence}`;
            receive(
              altered(delivery, {
                deadLetter: async (why) => {
                  if (seen.has(copy)) return delivery.acknowledge();
                  seen.add(copy);
                  await delivery.deadLetter(why);
                },
              }),
            );
          });
        },
      };
    },
  ),
  mutant('never ends by itself', 'subscribe/until-empty', (backend) => ({
    subscribe: (queue, { maxInFlight }, receive) => backend.subscribe(queue, { maxInFlight }, receive),
  })),
  mutant('is healthy whatever happens', 'shutdown/closed-is-not-healthy', () => ({
    health: async () => ({ status: 'healthy' }),
  })),
  mutant('counts what is in flight as waiting', 'topology/depth-of-what-waits', (backend) => ({
    describeQueue: async (name) => {
      const described = await backend.describeQueue(name);
      return { ...described, depth: described.depth + (described.inFlight ?? 0) };
    },
  })),
  mutant('counts what is delayed as waiting', 'topology/depth-of-what-waits', (backend) => {
    let delayed = 0;
    return {
      ...deliveries((one) => ({
        retry: (options) => {
          delayed += 1;
          return one.retry(options);
        },
      }))(backend),
      describeQueue: async (name) => {
        const described = await backend.describeQueue(name);
        return { ...described, depth: described.depth + delayed };
      },
    };
  }),
  mutant('takes all messages without an id for one', 'publish/empty-id', (backend) => ({
    publishToQueue: (queue, messages) =>
      backend.publishToQueue(
        queue,
        messages.map((one) => ({ ...one, id: one.id || 'none' })),
      ),
  })),
  mutant('hands over an empty id', 'publish/empty-id', (backend) => ({
    publishToQueue: (queue, messages) =>
      backend.publishToQueue(
        queue,
        messages.map((one) => ({ ...one, id: one.id || 'none' })),
      ),
    ...content(({ id }) => ({ id: id === 'none' ? '' : id }))(backend),
  })),
  mutant(
    'acknowledges some time after it says so',
    'settle/acknowledged-is-not-counted',
    deliveries((one) => ({ acknowledge: async () => void wait(50).then(() => one.acknowledge()) })),
  ),
  mutant(
    'keeps its buffer when it is closed',
    'shutdown/buffered-go-back',
    prefetching(() => {}),
  ),
  mutant(
    'gives its buffer back as if it had failed',
    'shutdown/buffered-go-back',
    prefetching((one) => void one.retry()),
  ),
];
