import { kafkaCapabilities } from '@melange/backend-kafka';
import { memoryCapabilities } from '@melange/backend-memory';
import { rabbitMqCapabilities } from '@melange/backend-rabbitmq';
import { redisStreamsCapabilities } from '@melange/backend-redis-streams';
import { sqsCapabilities } from '@melange/backend-sqs';
import { capabilitiesTable } from '../../../packages/conformance/src/report/capabilities-table.ts';
import { type Interfaces, optionsTable } from './options-table.ts';

/** `<!-- name:argument -->`, what is generated, `<!-- /name -->`. */
const part = /<!-- (\w+)(?::(\w+))? -->\n[\s\S]*?<!-- \/\1 -->/g;

/** The text with its generated parts made anew from the sources. */
export function withGeneratedParts(text: string, interfaces: Interfaces): string {
  return text.replaceAll(part, (_, name: string, argument?: string) => {
    const head = argument === undefined ? name : `${name}:${argument}`;
    return `<!-- ${head} -->\n\n${generated(name, argument, interfaces)}\n\n<!-- /${name} -->`;
  });
}

function generated(name: string, argument: string | undefined, interfaces: Interfaces): string {
  if (name === 'options' && argument !== undefined) return optionsTable(argument, interfaces);
  if (name === 'capabilities') {
    return capabilitiesTable({
      memory: memoryCapabilities,
      RabbitMQ: rabbitMqCapabilities,
      'SQS/SNS': sqsCapabilities,
      Kafka: kafkaCapabilities,
      'Redis Streams': redisStreamsCapabilities,
    });
  }
  throw new Error(`Nothing generates the part "${name}".`);
}
