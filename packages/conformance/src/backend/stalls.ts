import assert from 'node:assert/strict';
import { behaviours, pause } from '../behaviour.ts';
import { type BackendBehaviour, type BackendContext, message, numbered } from './backend-context.ts';
import { acknowledgeIfAnswered, arrivesAtLeastOnce, needsFaults } from './breaking.ts';
import { publishing } from './ten-thousand.ts';

/** Of an outage, in ms: its second half shows whether the pauses have grown. */
const outageMs = 4_000;

/** Connections that one backend may try in the second half of it: several clients, each with pauses of about a second. */
const maxLateTries = 24;

/** The broker is away or silent for long: nobody is flooded by it, neither the broker nor the log. */
export const stalls: readonly BackendBehaviour[] = behaviours<BackendContext>('faults', [
  {
    id: 'reconnecting',
    title:
      'while its broker is away a backend tries again with growing pauses; it logs the beginning and the end once',
    timeoutMs: 60_000,
    requires: needsFaults,
    async run(context) {
      const queue = await context.queue();
      const { backend, proxy, log } = await context.throughProxy();
      const receiver = await context.receive(queue, { handle: acknowledgeIfAnswered }, backend);
      await backend.publishToQueue(queue, [message('connects')]);
      await receiver.take(1);
      assert.deepEqual(log.warnings, [], 'nothing is wrong yet');
      proxy.turnAway();
      await pause(outageMs / 2);
      const before = proxy.connectionsMade;
      await pause(outageMs / 2);
      const tries = proxy.connectionsMade - before;
      assert.ok(
        tries <= maxLateTries,
        `${tries} connections were tried in ${outageMs / 2} ms, after as long an outage`,
      );
      assert.ok(log.warnings.length > 0, 'nothing was logged: is the logger given to the backend?');
      for (const text of new Set(log.warnings)) {
        const times: number = log.warnings.filter((other) => other === text).length;
        assert.equal(times, 1, `"${text}" was logged ${times} times in one outage`);
      }
      const lines = log.lines.length;
      await proxy.accept();
      const later = message('later');
      await context.backend.publishToQueue(queue, [later]);
      await arrivesAtLeastOnce(receiver, [later.id]);
      await context.eventually('the recovery is logged', () =>
        log.lines.slice(lines).some(({ level }) => level !== 'debug'),
      );
    },
  },
  {
    id: 'long-stall',
    title:
      'a connection that is silent for longer than a lease: nothing is lost, and work goes on when it speaks again',
    timeoutMs: 120_000,
    requires: needsFaults,
    async run(context) {
      const queue = await context.queue();
      const { backend, proxy } = await context.throughProxy();
      const receiver = await context.receive(
        queue,
        { maxInFlight: 5, handle: acknowledgeIfAnswered },
        backend,
      );
      await backend.publishToQueue(queue, [message('connects')]);
      await receiver.take(1);
      proxy.stall();
      const [theirs, ours] = [numbered(10), numbered(10)];
      await context.backend.publishToQueue(queue, theirs);
      const published = Promise.all(ours.map((one) => backend.publishToQueue(queue, [one], publishing)));
      published.catch(() => {});
      await pause(Math.max(3_000, 1.5 * (context.leaseMsThroughProxy ?? 0)));
      await context.soon(backend.health(), 'health of a silent backend');
      proxy.resume();
      await context.soon(published, 'publishing after the stall');
      await arrivesAtLeastOnce(
        receiver,
        [...theirs, ...ours].map(({ id }) => id),
      );
      await context.eventually(
        'it is healthy again',
        async () => (await backend.health()).status === 'healthy',
      );
      await receiver.subscription.close();
      await context.isEmpty(queue);
    },
  },
]);
