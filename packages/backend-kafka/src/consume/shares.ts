import type { GroupSession, JoinAnswer } from '../client/index.ts';
import {
  type Assigned,
  readAssignment,
  readSubscription,
  shareOut,
  sharingProtocol,
  writeAssignment,
} from '../wire/group.ts';

/** What the member is assigned. The leader of the group shares out for all. */
export async function shareOfMember(
  session: Pick<GroupSession, 'sync'>,
  joined: JoinAnswer,
  partitionsOf: (topic: string) => Promise<number>,
): Promise<Assigned> {
  const { memberId, leaderId, members } = joined;
  if (memberId !== leaderId) return readAssignment(await session.sync(joined, sharingProtocol, []));
  const subscribed = members.map((member) => ({
    memberId: member.memberId,
    topics: readSubscription(member.bytes),
  }));
  const partitions = new Map<string, number>();
  for (const topic of new Set(subscribed.flatMap(({ topics }) => topics)))
    partitions.set(topic, await partitionsOf(topic));
  const shares = shareOut(subscribed, (topic) => partitions.get(topic) ?? 0);
  const assignments = [...shares].map(([id, assigned]) => ({
    memberId: id,
    bytes: writeAssignment(assigned),
  }));
  return readAssignment(await session.sync(joined, sharingProtocol, assignments));
}
