import { Server } from 'node:net';
import { pathToFileURL } from 'node:url';

/*
 * Runs fauxqs by a Node that is new enough for it: `node fauxqs-server.ts <its dist folder> <port> <data folder>`.
 * Nothing else is imported here, for this file runs outside the workspace.
 */

const [dist, port, dataDir] = process.argv.slice(2) as [string, string, string];
const { PersistenceManager } = await import(pathToFileURL(`${dist}/persistence.js`).href);
const { startFauxqs } = await import(pathToFileURL(`${dist}/app.js`).href);

const { prototype } = PersistenceManager;

const prepare = prototype.prepareStatements;
prototype.prepareStatements = function prepareStatements(this: { db: { exec(sql: string): void } }) {
  // A restart keeps the messages, as the operating system has them; waiting for the disk would test the disk.
  this.db.exec('PRAGMA synchronous = OFF');
  return prepare.call(this);
};

// Up to 2.4.1 it writes NULL into a column that must not be, and loses a message that is given back.
prototype.updateMessageReady = function updateMessageReady(
  this: { db: { prepare(sql: string): { run(id: string): void } }; ready?: { run(id: string): void } },
  messageId: string,
) {
  this.ready ??= this.db.prepare(
    'UPDATE sqs_messages SET receipt_handle = NULL, visibility_deadline = NULL WHERE message_id = ?',
  );
  this.ready.run(messageId);
};

// It offers no choice of the address: without this it would listen on every network of the machine.
const listen = Server.prototype.listen;
Server.prototype.listen = function listenHere(this: Server, options: object, ...rest: []) {
  return listen.call(this, { ...options, host: '127.0.0.1' } as never, ...rest);
} as never;

await startFauxqs({ port: Number(port), logger: false, dataDir });
