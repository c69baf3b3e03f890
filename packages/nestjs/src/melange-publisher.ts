import type { ServicePublishing, ServiceShape } from '@melange/service';

/**
 * Publishes what the service declares to publish, for any provider. Called while a handler runs, however deep below it, it carries
 * `correlationId` and `causationId` of that message on, as the handler's own context does.
 *
 * `MelangePublisher<ShapeOf<typeof options>>` checks names of topics and classes of messages; a fake of a test is any
 * `ServicePublishing`.
 */
export class MelangePublisher<Shape extends ServiceShape = ServiceShape> implements ServicePublishing<Shape> {
  /** Publishes to a topic; see `ServicePublishing`. */
  readonly publish: ServicePublishing<Shape>['publish'];
  /** As `publish`, for many, in order. */
  readonly publishBatch: ServicePublishing<Shape>['publishBatch'];
  /** As `publish`, to a queue. */
  readonly send: ServicePublishing<Shape>['send'];
  /** As `send`, for many, in order. */
  readonly sendBatch: ServicePublishing<Shape>['sendBatch'];

  /** @param current whose publishing it is, asked at each call. */
  constructor(current: () => ServicePublishing<Shape>) {
    this.publish = async (...given) => current().publish(...given);
    this.publishBatch = async (...given) => current().publishBatch(...given);
    this.send = async (...given) => current().send(...given);
    this.sendBatch = async (...given) => current().sendBatch(...given);
  }
}
