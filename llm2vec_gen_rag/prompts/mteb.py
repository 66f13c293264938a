"""The published instruction of each MTEB task, by the task's name in `mteb`.

The paper's figures were measured with them (arXiv 2603.10913v2, tables 7 and 8; `generative.json`
of the reference repository). Each is put before the query of a retrieval or reranking task, whose
documents get the document instruction, and before every text of any other task.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_SIMILAR = "Generate text that is semantically similar to this text:"

_PLAIN = {
    "ArXivHierarchicalClusteringP2P": (
        "Generate a paper abstract on the same research topic as this arXiv paper:"
    ),
    "ArXivHierarchicalClusteringS2S": (
        "Generate a section paragraph that belongs to the same paper/topic as this section:"
    ),
    "AmazonCounterfactualClassification": (
        "Classify a given Amazon customer review text as either counterfactual or "
        "notcounterfactual:"
    ),
    "AskUbuntuDupQuestions": (
        "Generate a duplicate question about the same issue as this Ubuntu question:"
    ),
    "BIOSSES": "Generate a biomedical sentence that is semantically similar to this sentence:",
    "Banking77Classification": ("Given a online banking query, find the corresponding intents:"),
    "BiorxivClusteringP2P.v2": (
        "Generate a biomedical abstract on the same topic as this bioRxiv paper:"
    ),
    "ImdbClassification": (
        "Classify the sentiment expressed in the given movie review text from the IMDB dataset:"
    ),
    "MTOPDomainClassification": (
        "Classify the domain of this utterance (e.g., alarms, weather, music, navigation):"
    ),
    "MassiveIntentClassification": "Classify the user's intent expressed in this utterance:",
    "MassiveScenarioClassification": "Classify the scenario/domain of this utterance:",
    "MedrxivClusteringP2P.v2": (
        "Generate a clinical abstract on the same topic as this medRxiv paper:"
    ),
    "MedrxivClusteringS2S.v2": (
        "Generate a section paragraph from the same clinical study/topic as this section:"
    ),
    "MindSmallReranking": "Generate a short news article relevant to this news title:",
    "SICK-R": "Generate a sentence that is semantically similar to this sentence:",
    "SprintDuplicateQuestions": (
        "Generate a duplicate customer question expressing the same issue:"
    ),
    "StackExchangeClustering.v2": "Generate a StackExchange post on the same topic as this one:",
    "StackExchangeClusteringP2P.v2": (
        "Generate a StackExchange post that belongs to the same topic as this post:"
    ),
    "SummEvalSummarization.v2": "Generate a concise and faithful summary of this article:",
    "ToxicConversationsClassification": (
        "Classify whether the given comment is toxic or non-toxic:"
    ),
    "TweetSentimentExtractionClassification": (
        "Classify the sentiment of the given tweet as positive, negative, or neutral:"
    ),
    "TwentyNewsgroupsClustering.v2": (
        "Generate a message that belongs to the same newsgroup category as this post:"
    ),
    "TwitterSemEval2015": "Generate a tweet that is semantically similar to this tweet:",
    "TwitterURLCorpus": (
        "Generate a tweet that discusses the same linked content/topic as this tweet:"
    ),
    **dict.fromkeys(
        ("STS12", "STS13", "STS14", "STS15", "STS17", "STS22.v2", "STSBenchmark"), _SIMILAR
    ),
}

_FREE_TEXT = {  # what to write, and what to call it in "just output the ..."
    "ArguAna": ("text that refutes this claim", "text"),
    "CQADupstackGamingRetrieval": (
        "a detailed question description similar to this gaming question", "question description",
    ),
    "CQADupstackUnixRetrieval": (
        "a detailed question description similar to this Unix question", "question description",
    ),
    "ClimateFEVERHardNegatives": (
        "a Wikipedia-style passage that supports or refutes this climate change claim",
        "passage text",
    ),
    "FEVERHardNegatives": ("a Wikipedia-style text that supports or refutes this claim", "text"),
    "FiQA2018": ("a detailed reply that answers this financial question", "reply text"),
    "HotpotQAHardNegatives": (
        "a Wikipedia-style passage that helps answer this multi-hop question", "passage text",
    ),
    "SCIDOCS": (
        "an abstract of a scientific paper in a passage that could be cited by this paper",
        "abstract text",
    ),
    "TRECCOVID": ("a scientific text that answers this COVID-19 query", "text"),
    "Touche2020Retrieval.v3": (
        "a detailed and persuasive argument that answers this question", "argument text",
    ),
}  # fmt: skip

MTEB_INSTRUCTIONS: Mapping[str, str] = MappingProxyType(
    {
        **{name: f"{instruction} " for name, instruction in _PLAIN.items()},
        **{
            name: f"Generate {what}. Just output the {kind}, no other text or description: "
            for name, (what, kind) in _FREE_TEXT.items()
        },
    }
)

_RERANKING = {"AskUbuntuDupQuestions", "MindSmallReranking"}

# tasks without queries and documents: classification, clustering, pairs, similarity, summaries
MTEB_ONE_SIDED = frozenset(_PLAIN.keys() - _RERANKING)
