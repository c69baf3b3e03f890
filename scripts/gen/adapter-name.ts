import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** What an adapter can be. */
export type Role = 'backend' | 'serializer' | 'dedup';

/** Each role: what it does, the page that teaches it, and the package to read first. */
export const roles: Readonly<
  Record<Role, { readonly does: string; readonly guide: string; readonly model: string }>
> = {
  backend: {
    does: 'carries messages over a broker',
    guide: 'docs/writing-a-backend.md',
    model: 'packages/backend-memory',
  },
  serializer: {
    does: 'turns values into content and back',
    guide: 'packages/core/src/contract/serializer.ts',
    model: 'packages/serializer-json',
  },
  dedup: {
    does: 'remembers what was processed',
    guide: 'packages/core/src/contract/cache.ts',
    model: 'packages/dedup-memory',
  },
};

/** The forms in which the name of an adapter appears. */
export interface AdapterName {
  readonly role: Role;
  /** As in file names: `redis-streams`. */
  readonly technology: string;
  /** As in classes: `RedisStreams`. */
  readonly pascal: string;
  /** As in values: `redisStreams`. */
  readonly camel: string;
  /** As in environment variables: `REDIS_STREAMS`. */
  readonly upper: string;
  /** In `packages/`: `backend-redis-streams`. */
  readonly folder: string;
}

/** @throws Error, in one line, when there is no such role, the name is none, or the package exists. */
export function nameAdapter(role: string, technology: string, root: string): AdapterName {
  const known = Object.keys(roles);
  if (!known.includes(role)) throw new Error(`--role must be ${known.join(', ')}, not "${role}"`);
  if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(technology)) {
    throw new Error(`--technology must be in small letters, like nats or redis-streams, not "${technology}"`);
  }
  const folder = `${role}-${technology}`;
  if (existsSync(join(root, 'packages', folder))) throw new Error(`packages/${folder} exists already`);
  const words = technology.split('-');
  const pascal = words.map((word) => `${word[0]?.toUpperCase()}${word.slice(1)}`).join('');
  return {
    role: role as Role,
    technology,
    pascal,
    camel: `${pascal[0]?.toLowerCase()}${pascal.slice(1)}`,
    upper: words.join('_').toUpperCase(),
    folder,
  };
}
