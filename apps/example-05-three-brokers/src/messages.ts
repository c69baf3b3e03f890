import { defineMessage } from '@melange/service';
import { z } from 'zod';

const schema = z.object({ orderId: z.string() });

/** What travels through the fleet; each step is a message of its own. */
export class PlaceOrder extends defineMessage('PlaceOrder', schema) {}
export class PayOrder extends defineMessage('PayOrder', schema) {}
export class ShipOrder extends defineMessage('ShipOrder', schema) {}
