import type { Delivery, Message, MessagingBackend, Subscription } from '@melange/core';

/** A defect that an adapter could have, and the behaviour that must find it. */
export interface Mutant<Subject> {
  readonly defect: string;
  readonly caughtBy: string;
  readonly alter: (healthy: Subject) => Subject;
}

/** The same object with some members replaced; the others see the original as `this`. */
export function altered<Subject extends object>(subject: Subject, changes: Partial<Subject>): Subject {
  return new Proxy(subject, {
    get(target, name) {
      if (Object.hasOwn(changes, name)) return Reflect.get(changes, name) as unknown;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

/** What an adapter does otherwise. */
export type Alter = (backend: MessagingBackend) => Partial<MessagingBackend>;

/** @param caughtBy id of the behaviour. */
export function mutant(defect: string, caughtBy: string, changes: Alter): Mutant<MessagingBackend> {
  return { defect, caughtBy, alter: (backend) => altered(backend, changes(backend)) };
}

/** Alters each delivery; `subscription` numbers the subscriptions of the backend. */
export function deliveries(change: (delivery: Delivery, subscription: number) => Partial<Delivery>): Alter {
  return (backend) => {
    let subscriptions = 0;
    return {
      subscribe(queue, options, receive) {
        subscriptions += 1;
        const subscription = subscriptions;
        return backend.subscribe(queue, options, (one) => receive(altered(one, change(one, subscription))));
      },
    };
  };
}

/** Alters each message that is delivered. */
export function content(change: (message: Message) => Partial<Message>): Alter {
  return deliveries(({ message }) => ({ message: { ...message, ...change(message) } }));
}

/** Alters each subscription. */
export function subscriptions(change: (subscription: Subscription) => Partial<Subscription>): Alter {
  return (backend) => ({
    subscribe: async (queue, options, receive) => {
      const subscription = await backend.subscribe(queue, options, receive);
      return altered(subscription, change(subscription));
    },
  });
}
