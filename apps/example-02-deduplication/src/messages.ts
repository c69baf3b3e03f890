import { defineMessage } from '@melange/service';
import { z } from 'zod';

/** Asks the billing service to charge an order. */
export class ChargeOrder extends defineMessage(
  'ChargeOrder',
  z.object({ orderId: z.string(), cents: z.int().positive() }),
) {}

/** Tells the shop that an order is charged. */
export class OrderCharged extends defineMessage('OrderCharged', z.object({ orderId: z.string() })) {}
