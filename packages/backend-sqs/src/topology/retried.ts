import { asMelangeError, backoffMs, isMissingQueue, isMissingTopic, isTransient, pause } from '../errors.ts';

/** Tries of what declares and looks up, before the service counts as unavailable. */
const topologyAttempts = 3;

/** The answer to a request about topology, asked again after what may pass. */
export async function retried<Output>(request: () => Promise<Output>): Promise<Output> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await request();
    } catch (error) {
      if (isMissingQueue(error) || isMissingTopic(error)) throw error;
      if (attempt === topologyAttempts || !isTransient(error)) throw asMelangeError(error);
      await pause(backoffMs(attempt + 1));
    }
  }
}
