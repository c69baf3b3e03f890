import type { Admin, Cluster, Kafka, PartitionAssigner } from 'kafkajs';
import { typeOf } from '../../errors.ts';
import { asMelangeError, bounded, isConnectionProblem, isSettling } from './errors.ts';
import { retry } from './retry.ts';

/** The consumer that clusters are taken from never runs. */
const unused: ReturnType<PartitionAssigner> = {
  name: 'unused',
  version: 1,
  assign: async () => [],
  protocol: () => ({ name: 'unused', metadata: Buffer.alloc(0) }),
};
const settlingAttempts = 40;
const settlingPauseMs = 50;

/** The connections for questions to the cluster. Each is opened on first use, and again after a failure; a cluster that settles is asked again. */
export class Connections {
  readonly #kafka: Kafka;
  readonly #metadataMaxAgeMs: number;
  #admin: Promise<Admin> | undefined;
  #lastQuestion: Promise<unknown> = Promise.resolve();
  /** For requests that kafkajs makes only as a member of a group. */
  #cluster: Promise<Cluster> | undefined;

  constructor(kafka: Kafka, metadataMaxAgeMs: number) {
    this.#kafka = kafka;
    this.#metadataMaxAgeMs = metadataMaxAgeMs;
  }

  async close(): Promise<void> {
    const [admin, cluster] = [this.#admin, this.#cluster];
    this.#admin = undefined;
    this.#cluster = undefined;
    await Promise.all([
      bounded(Promise.resolve(admin).then((opened) => opened?.disconnect())),
      bounded(Promise.resolve(cluster).then((opened) => opened?.disconnect())),
    ]);
  }

  /** One question after the other: kafkajs mixes up the topics of those that are asked at once. */
  withAdmin<Result>(work: (admin: Admin) => Promise<Result>): Promise<Result> {
    const answer = this.#lastQuestion.then(() => this.#ask(work));
    this.#lastQuestion = answer.catch(() => undefined);
    return answer;
  }

  async #ask<Result>(work: (admin: Admin) => Promise<Result>): Promise<Result> {
    for (let left = settlingAttempts; ; left -= 1) {
      this.#admin ??= this.#openAdmin();
      const opening = this.#admin;
      try {
        return await work(await opening);
      } catch (error) {
        const isPoisoned = typeOf(error) === 'UNKNOWN_TOPIC_OR_PARTITION';
        // An admin that has once looked at a topic looks at it again each time, and fails for it when it is gone.
        const mayHelp = isPoisoned ? left === settlingAttempts : isSettling(error);
        if (this.#admin === opening && (isPoisoned || isConnectionProblem(error))) {
          this.#admin = undefined;
          void opening.then((admin) => admin.disconnect()).catch(() => undefined);
        }
        if (left === 0 || !mayHelp) throw asMelangeError(error);
        await new Promise((resolve) => setTimeout(resolve, settlingPauseMs));
      }
    }
  }

  /** After a failure another one is opened. */
  async withCluster<Result>(work: (cluster: Cluster) => Promise<Result>): Promise<Result> {
    for (let left = settlingAttempts; ; left -= 1) {
      this.#cluster ??= this.#openCluster();
      const opening = this.#cluster;
      try {
        return await work(await opening);
      } catch (error) {
        if (this.#cluster === opening) this.#cluster = undefined;
        void opening.then((opened) => opened.disconnect()).catch(() => undefined);
        if (left === 0 || !isSettling(error)) throw asMelangeError(error);
        await new Promise((resolve) => setTimeout(resolve, settlingPauseMs));
      }
    }
  }

  async #openAdmin(): Promise<Admin> {
    const admin = this.#kafka.admin({ retry });
    await admin.connect();
    return admin;
  }

  async #openCluster(): Promise<Cluster> {
    const cluster = this.newCluster();
    await cluster.connect();
    return cluster;
  }

  /** kafkajs gives its cluster to whoever assigns partitions. */
  newCluster(): Cluster {
    let captured: Cluster | undefined;
    const capture: PartitionAssigner = ({ cluster }) => {
      captured = cluster;
      return unused;
    };
    this.#kafka.consumer({
      groupId: 'melange-reader',
      partitionAssigners: [capture],
      metadataMaxAge: this.#metadataMaxAgeMs,
      allowAutoTopicCreation: false,
      retry,
    });
    return captured as unknown as Cluster;
  }
}
