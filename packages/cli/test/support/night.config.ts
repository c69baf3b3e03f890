import { defineConfig, type MelangeConfig } from '../../src/index.ts';
import { paymentsService } from './payments.ts';

const { CLI_PREFIX: prefix = '' } = process.env;
const config: MelangeConfig = defineConfig({ services: [paymentsService(prefix, () => undefined)] });
export default config;
