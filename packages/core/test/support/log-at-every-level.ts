import { warningLogger } from '../../src/contract/logger.ts';

warningLogger.debug('at debug');
warningLogger.info('at info');
warningLogger.error('at error', { error: new Error('declined') });
