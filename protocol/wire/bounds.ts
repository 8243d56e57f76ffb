// How much one node may hold. Apart from the shapes, as the command line loads it before its first word.

/** Of one node. */
export const slotsMax = 512;
/** How many grants a node may hold unbegun. */
export const prefetchMax = 256;
/** All that one node can hold: its heartbeat fits one gossip message, and no answer is too long to renew its lease. */
export const fencesMax = slotsMax + prefetchMax;
