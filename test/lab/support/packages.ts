/** What a host has that watches others, and what its tests need. One list, since each list has an image of its own. */
export const WATCHES = ["prometheus", "prometheus-alertmanager", "prometheus-node-exporter", "curl"];
