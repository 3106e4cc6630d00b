"""Language models: loading, chat, training, answers, likelihoods."""
