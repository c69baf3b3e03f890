export { defineConfig, type MelangeConfig } from './config.ts';
