import type { Delivery, MaybePromise, Message, MessagingBackend } from '@melange/core';
import type { Ledger, Settling } from './ledger.ts';

/**
 * The same backend, with what goes through it written into a ledger. It answers what the backend answers, the very same
 * promises: their timing is part of what is tested.
 */
export function observed(backend: MessagingBackend, ledger: Ledger): MessagingBackend {
  const publishing = (
    destination: string,
    messages: readonly Message[],
    done: Promise<void>,
  ): Promise<void> => {
    const count = messages.length;
    ledger.published(destination, count);
    done.then(
      () => ledger.confirmed(destination, count),
      (error: unknown) => ledger.refused(destination, count, error),
    );
    return done;
  };
  const changes: Partial<MessagingBackend> = {
    publishToQueue: (queue, messages, options) =>
      publishing(`queue "${queue}"`, messages, backend.publishToQueue(queue, messages, options)),
    publishToTopic: (topic, messages, options) =>
      publishing(`topic "${topic}"`, messages, backend.publishToTopic(topic, messages, options)),
    subscribe: (queue, options, receive) =>
      backend.subscribe(queue, options, (delivery) => {
        const name = `queue "${queue}"`;
        ledger.received(name, delivery);
        receive(observedDelivery(delivery, name, ledger));
      }),
  };
  return replaced(backend, changes);
}

function observedDelivery(delivery: Delivery, queue: string, ledger: Ledger): Delivery {
  const settling = <Answer extends MaybePromise<void>>(how: Settling, answer: Answer): Answer => {
    if (answer instanceof Promise)
      answer.then(
        () => ledger.settled(queue, delivery, how),
        (error: unknown) => ledger.notSettled(queue, delivery, how, error),
      );
    else ledger.settled(queue, delivery, how);
    return answer;
  };
  return replaced(delivery, {
    acknowledge: () => settling('acknowledged', delivery.acknowledge()),
    retry: (options) => settling('retried', delivery.retry(options)),
    deadLetter: (options) => settling('dead-lettered', delivery.deadLetter(options)),
    release: () => settling('released', delivery.release()),
  });
}

/** The same object with some members replaced; the others see the original as `this`. */
function replaced<Subject extends object>(subject: Subject, changes: Partial<Subject>): Subject {
  return new Proxy(subject, {
    get(target, name) {
      if (Object.hasOwn(changes, name)) return Reflect.get(changes, name) as unknown;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}
