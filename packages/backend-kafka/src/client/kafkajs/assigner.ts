import { AssignerProtocol, type PartitionAssigner } from 'kafkajs';

/** Partitions of one number go to one member, whatever their topic: a key keeps its member across retries. */
export const coPartitioned: PartitionAssigner = ({ cluster }) => ({
  name: 'MelangeCoPartitioned',
  version: 1,
  async assign({ members }) {
    const subscribed = members
      .map(({ memberId, memberMetadata }) => ({
        memberId,
        topics: AssignerProtocol.MemberMetadata.decode(memberMetadata)?.topics ?? [],
      }))
      .sort((left, right) => (left.memberId < right.memberId ? -1 : 1));
    const assignments = new Map<string, Record<string, number[]>>();
    for (const topic of new Set(subscribed.flatMap(({ topics }) => topics))) {
      const takers = subscribed.filter(({ topics }) => topics.includes(topic));
      for (const { partitionId } of cluster.findTopicPartitionMetadata(topic)) {
        const { memberId } = takers[partitionId % takers.length] as (typeof takers)[number];
        const assignment = assignments.get(memberId) ?? {};
        assignments.set(memberId, assignment);
        assignment[topic] = [...(assignment[topic] ?? []), partitionId];
      }
    }
    return [...assignments].map(([memberId, assignment]) => ({
      memberId,
      memberAssignment: AssignerProtocol.MemberAssignment.encode({
        version: 1,
        assignment,
        userData: Buffer.alloc(0),
      }),
    }));
  },
  protocol({ topics }) {
    const metadata = AssignerProtocol.MemberMetadata.encode({
      version: 1,
      topics,
      userData: Buffer.alloc(0),
    });
    return { name: this.name, metadata };
  },
});
