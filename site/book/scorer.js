// How the search ranks: a section's heading and the glossary first.
var Scorer = {
  score: ([page, , , , score]) => score + (page === 'glossary' ? 20 : 0),
  objNameMatch: 11, objPartialMatch: 6, objPrio: {0: 15, 1: 5, 2: -5}, objPrioDefault: 0,
  title: 30, partialTitle: 15, term: 5, partialTerm: 2,
};
