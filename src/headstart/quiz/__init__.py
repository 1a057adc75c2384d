"""The questions on the lessons, with explained answers."""

from headstart.quiz.quizzes import Question, Quiz, list_quizzes, read_quiz

__all__ = ["Question", "Quiz", "list_quizzes", "read_quiz"]
