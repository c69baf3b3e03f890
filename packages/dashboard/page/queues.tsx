import type { BrokerView, Overview, QueueView } from '../src/api.ts';
import { Line } from './charts.tsx';
import { count } from './format.ts';

/** All queues of all brokers. */
export function Queues({ overview }: { readonly overview: Overview }) {
  return (
    <>
      <section aria-labelledby="brokers">
        <h2 id="brokers">Brokers</h2>
        <ul class="brokers">
          {overview.brokers.map((broker) => (
            <Broker key={broker.name} broker={broker} />
          ))}
        </ul>
      </section>
      <section aria-labelledby="queues">
        <h2 id="queues">Queues</h2>
        <table class="queues">
          <thead>
            <tr>
              <th scope="col">Queue</th>
              <th scope="col">Broker</th>
              <th scope="col" class="number">
                Waiting
              </th>
              <th scope="col" class="number">
                In flight
              </th>
              <th scope="col" class="number">
                Rate
              </th>
              <th scope="col">Waiting over time</th>
              <th scope="col" class="number">
                Dead letters
              </th>
            </tr>
          </thead>
          <tbody>
            {overview.queues.map((queue) => (
              <Queue key={`${queue.broker}/${queue.name}`} queue={queue} />
            ))}
          </tbody>
        </table>
      </section>
    </>
  );
}

function Broker({ broker: { name, technology, address, status, detail } }: { readonly broker: BrokerView }) {
  return (
    <li class="broker">
      <strong>{name}</strong> {name !== technology && <span>{technology}</span>}{' '}
      <span class={`status ${status}`}>{status}</span>
      {address !== undefined && <div class="quiet">{address}</div>}
      {detail !== undefined && <div class="detail">{detail}</div>}
    </li>
  );
}

function Queue({ queue }: { readonly queue: QueueView }) {
  const { broker, name, deadLetterQueue, samples, trouble } = queue;
  const last = samples.at(-1);
  return (
    <tr>
      <th scope="row" data-label="Queue">
        {name}
        {trouble !== undefined && (
          <div class="detail" role="alert">
            {trouble}
          </div>
        )}
      </th>
      <td data-label="Broker">{broker}</td>
      <td data-label="Waiting" class="number">
        {count(last?.depth)}
      </td>
      <td data-label="In flight" class="number">
        {count(last?.inFlight)}
      </td>
      <td data-label="Rate" class="number">
        {rateOf(queue)}
      </td>
      <td data-label="Over time">
        <Line values={samples.map(({ depth }) => depth)} label={`Waiting in ${name}`} />
      </td>
      <td data-label="Dead letters" class="number">
        {deadLetterQueue === undefined ? (
          <span class="quiet">no dead-letter queue</span>
        ) : (
          <a
            class={last?.dead === 0 ? 'dead none' : 'dead'}
            href={deadHref(broker, deadLetterQueue)}
            aria-label={`Dead letters of ${name}: ${count(last?.dead)}`}
          >
            {count(last?.dead)}
          </a>
        )}
      </td>
    </tr>
  );
}

export function deadHref(broker: string, queue: string): string {
  return `#/dead/${encodeURIComponent(broker)}/${encodeURIComponent(queue)}`;
}

/** Processed in a second where it is counted; else by how much the queue grew or shrank in a second. */
function rateOf({ samples }: QueueView): string {
  const [before, last] = samples.slice(-2);
  if (last?.processedPerSecond !== undefined) return `${last.processedPerSecond.toFixed(1)} done/s`;
  if (before === undefined || last === undefined || last.at <= before.at) return '–';
  const change = ((last.depth - before.depth) * 1_000) / (last.at - before.at);
  if (change === 0) return 'steady';
  return `${change > 0 ? '+' : '−'}${Math.abs(change).toFixed(1)}/s`;
}
