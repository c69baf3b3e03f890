import { defineMessage } from '@melange/core';
import { z } from 'zod';

export class OrderPlaced extends defineMessage('OrderPlaced', z.object({ id: z.string() })) {}
export class OrderCancelled extends defineMessage('OrderCancelled', z.object({ id: z.string() })) {}
export class InvoicePaid extends defineMessage('InvoicePaid', z.object({ orderId: z.string() })) {}
