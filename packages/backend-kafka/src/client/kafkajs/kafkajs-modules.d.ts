declare module 'kafkajs/src/network/requestQueue/index.js' {
  /** The requests of one connection. */
  export default class RequestQueue {
    readonly pending: readonly unknown[];
    scheduleCheckPendingRequests?(): void;
  }
}

declare module 'kafkajs/src/protocol/encoder.js' {
  /** Writes numbers and bytes as Kafka has them. */
  export default class Encoder {
    writeVarIntBytes(value: Buffer | string | null): this;
  }
}

declare module 'kafkajs/src/consumer/consumerGroup.js' {
  /** A member of a group. */
  export default class ConsumerGroup {
    /** When it last sent a heartbeat, in ms since the epoch. */
    lastRequest: number;
    heartbeat(options: { readonly interval: number }): Promise<void>;
  }
}
