import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';

/**
 * A file in the system's temporary folder that all processes of this user share. That folder is often everybody's:
 * what root has written there another user could not change.
 */
export function ownFile(ending: string, folder: string = tmpdir()): string {
  return join(folder, `melange-brokers-${process.getuid?.() ?? userInfo().username}.${ending}`);
}
