import type {
  BrowsableBackend,
  BrowseCapabilities,
  Capabilities,
  MessagingBackend,
  QueueOptions,
} from '@melange/core';
import type { BackendDefinition, BackendOptions } from './definition.ts';
import type { Driver, Received } from './driver.ts';
import { DriverBackend } from './driver-backend.ts';

/** What a backend of such capabilities has besides `MessagingBackend`. */
export type Browsing<Features extends Capabilities> = Features extends BrowseCapabilities
  ? Pick<BrowsableBackend<Features>, 'browseQueue'>
  : unknown;

/** A backend whose queues take options of their own. */
export type Backend<
  Features extends Capabilities,
  Options extends QueueOptions,
> = MessagingBackend<Features> &
  Browsing<Features> & {
    declareQueue(name: string, options?: Options): Promise<void>;
  };

/** The class that an adapter exports. Its options may be left out where none is required. */
export type BackendClass<
  Settings,
  Features extends Capabilities,
  Options extends QueueOptions = QueueOptions,
  Methods extends object = object,
> = new (
  ...options: object extends Settings ? [options?: Settings] : [options: Settings]
) => Backend<Features, Options> & Methods;

/**
 * Makes the class of a backend from a driver: the driver says how its broker does things, the kit does everything that is
 * the same for each broker, and keeps the guarantees of `MessagingBackend`.
 */
export function defineBackend<
  Settings extends BackendOptions,
  Features extends Capabilities,
  Options extends QueueOptions,
  Made extends Driver<Options, unknown, Received>,
  Methods extends object = object,
>(
  definition: BackendDefinition<Settings, Features, Options, Made, Methods>,
): BackendClass<Settings, Features, Options, Methods> {
  const Defined = class extends DriverBackend<Settings, Features, Options, Made> {
    constructor(settings: Settings = {} as Settings) {
      super(definition, settings);
      const methods: object = definition.methods?.(this.driver, this) ?? {};
      Object.defineProperties(this, Object.getOwnPropertyDescriptors(methods));
    }
  };
  // Methods that are defined at run time are not seen by the compiler.
  return Defined as unknown as BackendClass<Settings, Features, Options, Methods>;
}
