// What graphology-gexf makes of a GEXF file, and of what it writes itself of that: for the tests of the export.
import Graph from "graphology";
import gexf from "graphology-gexf/browser";

window.readGexf = (text) => {
  const graph = gexf.parse(Graph, text);
  return { read: graph.export(), again: gexf.parse(Graph, gexf.write(graph)).export() };
};
