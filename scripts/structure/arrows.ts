/** One room of a package, and the rooms of the same package that its files may import. A name is a folder of `src/`, or a file there. */
export type Arrows = Readonly<Record<string, readonly string[]>>;

/** The core: its dispatcher and its publishers do not know each other, its contract knows nobody. */
const core: Arrows = {
  contract: ['errors'],
  messages: ['contract', 'errors'],
  dispatch: ['contract', 'messages', 'errors'],
  publish: ['contract', 'messages', 'errors'],
  errors: [],
};

/** An adapter: its wire is pure and knows nobody, its client alone knows the client library. */
const backend: Arrows = {
  backend: [
    'publish',
    'consume',
    'browse',
    'topology',
    'wire',
    'client',
    'options',
    'capabilities',
    'errors',
  ],
  publish: ['topology', 'wire', 'client', 'options', 'capabilities', 'errors'],
  consume: ['topology', 'wire', 'client', 'options', 'errors'],
  browse: ['topology', 'wire', 'client', 'options', 'errors'],
  topology: ['wire', 'client', 'options', 'errors'],
  wire: ['errors', 'options'],
  // Kafka's client reads and writes records, which are the wire's.
  client: ['wire', 'options', 'errors'],
  options: [],
  capabilities: [],
  errors: [],
};

const kit: Arrows = {
  backend: ['driver-backend', 'definition', 'driver'],
  definition: ['driver'],
  'driver-backend': [
    'definition',
    'publish',
    'consume',
    'browsing',
    'connection',
    'requests',
    'declared',
    'checks',
    'health',
    'explain',
    'driver',
    'options',
  ],
  publish: ['driver', 'health', 'reconnect-delay', 'checks'],
  consume: ['driver', 'health', 'reconnect-delay', 'connection', 'explain', 'shared-requests'],
  requests: ['driver', 'connection', 'health', 'reconnect-delay'],
  'shared-requests': ['driver'],
  connection: ['driver', 'health', 'explain', 'reconnect-delay'],
  declared: ['driver', 'explain'],
  explain: ['driver'],
  driver: ['browsing', 'checks', 'health'],
  browsing: [],
  'send-each': ['driver'],
  filters: [],
  health: [],
  wire: ['driver'],
  checks: [],
  'reconnect-delay': [],
};

/** Which arrows a package may have between its rooms; a package that is not here has one room. */
export function arrowsOf(folder: string): Arrows | undefined {
  if (folder === 'core') return core;
  if (folder === 'backend-kit') return kit;
  return folder.startsWith('backend-') ? backend : undefined;
}
