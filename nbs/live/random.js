// Random numbers from seeds alone, so that every game can be repeated.

/** A function that gives uniform numbers in [0, 1), different for each list of `seeds`. */
export function random(...seeds) {
  let x = 1;
  for (const seed of [...seeds, 0]) {
    x = Math.imul(x + seed + 0x9e3779b9, 0x85ebca6b); // scrambled: near seeds, far streams
    x = Math.imul(x ^ (x >>> 15), 0xc2b2ae35);
    x = (x ^ (x >>> 13)) || 1;
  }
  return () => {
    x ^= x << 13; x ^= x >>> 17; x ^= x << 5; // Marsaglia's xorshift, 32 bits
    return (x >>> 0) / 2 ** 32;
  };
}

/** A standard normal number (Box and Muller). */
export function normal(uniform) {
  return Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}
