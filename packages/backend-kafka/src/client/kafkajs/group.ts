import type { Broker, Cluster } from 'kafkajs';
import { typeOf } from '../../errors.ts';
import type {
  Commit,
  FetchedPartition,
  FetchRequest,
  GroupPlace,
  GroupSession,
  JoinAnswer,
  JoinRequest,
  MemberBytes,
} from '../contract.ts';
import { asMelangeError } from './errors.ts';
import { fetchFrom, memberRequests } from './internals.ts';
import { Nodes } from './nodes.ts';
import { requestOf } from './records.ts';

/** Answers of a coordinator that is one no more, or not yet. */
const movedCoordinator = /COORDINATOR|GROUP_LOAD_IN_PROGRESS/;

/** The connections of a member on kafkajs, whose own consumer is not used. */
export class Group implements GroupSession {
  readonly #groupId: string;
  readonly #nodes: Nodes;
  readonly #onSlow: (reason: string) => void;
  #coordinator: Promise<Broker> | undefined;

  constructor(groupId: string, openCluster: () => Cluster, onSlow: (reason: string) => void) {
    this.#groupId = groupId;
    this.#nodes = new Nodes(openCluster);
    this.#onSlow = onSlow;
  }

  join(request: JoinRequest): Promise<JoinAnswer> {
    const { memberId, protocol, bytes, sessionTimeoutMs, rebalanceTimeoutMs } = request;
    return this.#ask(async (coordinator) => {
      const answer = await memberRequests(coordinator).joinGroup({
        groupId: this.#groupId,
        memberId,
        sessionTimeout: sessionTimeoutMs,
        rebalanceTimeout: rebalanceTimeoutMs,
        groupProtocols: [{ name: protocol, metadata: bytes }],
      });
      return {
        memberId: answer.memberId,
        generation: answer.generationId,
        leaderId: answer.leaderId,
        members: answer.members.map((member) => ({
          memberId: member.memberId,
          bytes: member.memberMetadata,
        })),
      };
    });
  }

  sync(place: GroupPlace, _protocol: string, assignments: readonly MemberBytes[]): Promise<Buffer> {
    const { memberId, generation } = place;
    const groupAssignment = assignments.map((share) => ({
      memberId: share.memberId,
      memberAssignment: share.bytes,
    }));
    return this.#ask(async (coordinator) => {
      const request = { groupId: this.#groupId, generationId: generation, memberId, groupAssignment };
      return (await memberRequests(coordinator).syncGroup(request)).memberAssignment;
    });
  }

  async heartbeat({ memberId, generation }: GroupPlace): Promise<void> {
    await this.#ask((coordinator) =>
      memberRequests(coordinator).heartbeat({
        groupId: this.#groupId,
        groupGenerationId: generation,
        memberId,
      }),
    );
  }

  async commit({ memberId, generation }: GroupPlace, commits: readonly Commit[]): Promise<void> {
    await this.#ask((coordinator) =>
      coordinator.offsetCommit({
        groupId: this.#groupId,
        groupGenerationId: generation,
        memberId,
        ...requestOf(commits),
      }),
    );
  }

  async leave(memberId: string): Promise<void> {
    await this.#ask((coordinator) =>
      memberRequests(coordinator).leaveGroup({ groupId: this.#groupId, memberId }),
    );
  }

  async fetch(request: FetchRequest): Promise<readonly FetchedPartition[]> {
    try {
      const broker = await this.#nodes.find(request.node, request.partitions[0]?.topic);
      return await fetchFrom(broker, request, this.#onSlow);
    } catch (error) {
      throw asMelangeError(error);
    }
  }

  close(): Promise<void> {
    this.#coordinator = undefined;
    return this.#nodes.close();
  }

  async #ask<Answer>(work: (coordinator: Broker) => Promise<Answer>): Promise<Answer> {
    this.#coordinator ??= this.#nodes.coordinatorOf(this.#groupId);
    const coordinator = this.#coordinator;
    try {
      return await work(await coordinator);
    } catch (error) {
      const type = typeOf(error);
      if ((type === undefined || movedCoordinator.test(type)) && this.#coordinator === coordinator)
        this.#coordinator = undefined;
      throw asMelangeError(error);
    }
  }
}
