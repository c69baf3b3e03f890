import type { PlannedFault } from './plan/plan.ts';
import { publisher } from './plan/plan.ts';
import type { Place, World } from './world.ts';

/** A broker cuts the connection of a process that it has not heard of for so long, in ms. */
const heartbeatMs = 6_000;

/** Lets a planned fault strike. */
export function inject(world: World, fault: PlannedFault): void {
  const { ledger, brokers, cacheStore } = world;
  ledger.tell('fault', () => JSON.stringify(fault));
  switch (fault.kind) {
    case 'cache-away':
      ledger.strike(fault.kind);
      ledger.disturb(undefined, fault.forMs);
      cacheStore.goAway(fault.forMs);
      return;
    case 'cache-forgets':
      ledger.strike(fault.kind);
      ledger.disturb(undefined, 0);
      cacheStore.forget();
      return;
    case 'rebalance':
      ledger.strike(fault.kind);
      ledger.disturb(undefined, 0);
      brokers.rebalance();
      return;
    case 'fail-over':
      ledger.strike(fault.kind);
      ledger.disturb(undefined, fault.forgetsMs);
      brokers.failOver(fault.forgetsMs, () => world.cutAll());
      return;
    case 'queue-away':
      ledger.strike(fault.kind);
      brokers.queueAway(fault.forMs);
      return;
    default:
      if (fault.worker === publisher) injectIntoPublisher(world, fault);
      else injectIntoWorker(world, fault, world.places[fault.worker]);
  }
}

type ProcessFault = Extract<PlannedFault, { readonly worker: number }>;

function injectIntoPublisher({ ledger, publishing }: World, fault: ProcessFault): void {
  if (fault.kind === 'network') {
    ledger.disturb(publishing.network.process.name, fault.forMs);
    publishing.network.disturb(fault.fault, fault.forMs);
  } else if (fault.kind === 'stop') {
    publishing.network.process.afterSteps(fault.afterSteps, () => {
      ledger.strike('publisher-closes');
      void publishing.replaceBackend();
    });
  }
}

function injectIntoWorker(world: World, fault: ProcessFault, place: Place | undefined): void {
  if (place === undefined || !place.process.isAlive) return;
  const { ledger } = world;
  const { process, network, connected } = place;
  switch (fault.kind) {
    case 'network':
      ledger.disturb(process.name, fault.forMs);
      network.disturb(fault.fault, fault.forMs);
      return;
    case 'cut':
      ledger.strike(fault.kind);
      ledger.disturb(process.name, 0);
      connected.cut();
      return;
    case 'clock-step':
      ledger.strike(fault.kind);
      process.setClock(fault.byMs);
      return;
    case 'freeze':
      ledger.strike(fault.kind);
      ledger.disturb(process.name, fault.forMs);
      process.frozenUntil = ledger.now + fault.forMs;
      if (fault.forMs > heartbeatMs) world.later(heartbeatMs, () => process.isAlive && connected.cut());
      return;
    case 'crash':
      process.afterSteps(fault.afterSteps, () => {
        ledger.strike(fault.kind);
        ledger.tell(process.name, () => 'ends without a word');
        world.crash(place);
        world.startLater(fault.worker, fault.forMs, process.version);
      });
      return;
    case 'stop':
      process.afterSteps(fault.afterSteps, () => {
        ledger.strike(fault.isUpgrade ? 'upgrade' : fault.kind);
        ledger.tell(process.name, () => 'is told to stop');
        void world.stop(place, fault);
      });
      return;
  }
}
