const seed = 0x9747_b28c;
const multiplier = 0x5bd1_e995;
const shift = 24;

/** Partition of a key, as the Java client chooses it, and so most others. */
export function partitionOfKey(key: Uint8Array, partitions: number): number {
  return (murmur2(key) & 0x7fff_ffff) % partitions;
}

/** MurmurHash 2 of 32 bits. */
function murmur2(bytes: Uint8Array): number {
  const at = (place: number): number => bytes[place] as number;
  const { length } = bytes;
  let hash = seed ^ length;
  let place = 0;
  for (; place + 4 <= length; place += 4) {
    let word = at(place) | (at(place + 1) << 8) | (at(place + 2) << 16) | (at(place + 3) << 24);
    word = Math.imul(word, multiplier);
    word ^= word >>> shift;
    hash = Math.imul(hash, multiplier) ^ Math.imul(word, multiplier);
  }
  const left = length - place;
  if (left > 2) hash ^= at(place + 2) << 16;
  if (left > 1) hash ^= at(place + 1) << 8;
  if (left > 0) hash = Math.imul(hash ^ at(place), multiplier);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, multiplier);
  return hash ^ (hash >>> 15);
}
