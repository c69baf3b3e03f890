export { acknowledged, isMelangeContext, melangeContextType } from './handler-call.ts';
export { MelangeModule } from './melange-module.ts';
export { MelangePublisher } from './melange-publisher.ts';
export { MelangeService } from './melange-service.ts';
export { type HandlerDecorator, MessageHandler, type MessageHandlerOptions } from './message-handler.ts';
export type {
  MelangeApplicationOptions,
  MelangeAsyncOptions,
  MelangeFeature,
  MelangeOptions,
  MelangeOptionsFactory,
} from './options.ts';
export { MELANGE_BACKEND, MELANGE_CACHE } from './tokens.ts';
